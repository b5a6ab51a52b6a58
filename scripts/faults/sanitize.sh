#!/usr/bin/env bash
# Runs the tests of sd-layers under AddressSanitizer: the kernels and the bridge to libtorch, Rust and
# C++ alike. libtorch itself is not instrumented.
#
#     scripts/faults/sanitize.sh [TEST…]
#
# The same under ThreadSanitizer, which sees the locks of libtorch but not its atomics: on one thread of
# libtorch each, so that the threads are those of the tests.
#
#     scripts/faults/sanitize.sh --threads [TEST…]
#
# Or the tests of sd-engine under Miri, on portable lanes: those that end within minutes.
#
#     scripts/faults/sanitize.sh --miri
#
# Needs `rustup toolchain install nightly`, and `cargo xtask setup` but for Miri. `--threads` and `--miri` also
# need `rustup +nightly component add rust-src miri`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ ${1-} == --miri ]]; then
    slow=(convolutions_match winograd_matches winograd_is_chosen simd::)
    exec cargo +nightly miri test --package sd-engine --lib --target-dir target/miri -- \
        --test-threads=1 "${slow[@]/#/--skip=}"
fi

sanitizer=address
build_std=()
if [[ ${1-} == --threads ]]; then
    shift
    sanitizer=thread
    # Locks of the standard library have to be seen too.
    build_std=(-Zbuild-std)
    export OMP_NUM_THREADS=1
fi
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# Memory that libtorch keeps until the process ends is no leak of ours.
export ASAN_OPTIONS=detect_leaks=0
CXXFLAGS=-fsanitize=$sanitizer RUSTFLAGS=-Zsanitizer=$sanitizer \
    cargo +nightly test "${build_std[@]}" --package sd-layers --lib --target "$host" \
    --target-dir "target/$sanitizer-sanitizer" -- "$@"
