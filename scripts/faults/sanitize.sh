#!/usr/bin/env bash
# Runs the tests of sd-layers under AddressSanitizer: the kernels and the bridge to libtorch, Rust and
# C++ alike. libtorch itself is not instrumented.
#
#     scripts/faults/sanitize.sh [TEST…]
#
# Needs `rustup toolchain install nightly` and `cargo xtask setup`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# Memory that libtorch keeps until the process ends is no leak of ours.
export ASAN_OPTIONS=detect_leaks=0
CXXFLAGS=-fsanitize=address RUSTFLAGS=-Zsanitizer=address \
    cargo +nightly test --package sd-layers --lib --target "$host" --target-dir target/asan -- "$@"
