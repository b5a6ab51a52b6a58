#!/usr/bin/env bash
# Feeds every parser of strangers' files, and the native engine, with bytes that follow their branches
# (libFuzzer), and stops at the first that panics, takes more than 2 GB or 20 s.
#
#     RUNS=10000000 scripts/faults/fuzz.sh [TARGET…]
#     RUNS=1000000 SANITIZER=address scripts/faults/fuzz.sh engine onnx_network image
#
# With a sanitizer, exported networks run in the native engine alone.
#
# Needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`; no libtorch. What is
# printed for each target is the number of executions and the branches that they reached.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../fuzz"

# No file needs to be longer than this to reach every branch.
declare -A longest=(
    [cifar]=6200 [cifar_archive]=3600 [csv_manifest]=200 [data_config]=500 [engine]=400 [idx]=100 [image]=700
    [onnx_metadata]=1200 [onnx_network]=1200 [packed]=1000 [record]=1800 [safetensors]=300 [setting]=200
    [shard]=4608
)
sanitizer=${SANITIZER:-none}
[[ $sanitizer == none ]] && network=rten || network=network
targets=("$@")
[[ $# -gt 0 ]] || mapfile -t targets < <(printf '%s\n' "${!longest[@]}" | sort)
for target in "${targets[@]}"; do
    # Each needs few crates.
    case $target in
        onnx_network) features=$network ;;
        engine | image | onnx_metadata) features= ;;
        *) features=training ;;
    esac
    mkdir -p "corpus/$target"
    corpora=("corpus/$target")
    [[ ! -d seeds/$target ]] || corpora+=("seeds/$target")
    # Most parsers have no `unsafe` and need no sanitizer. Overflows and assertions are checked.
    cargo +nightly fuzz run --features "$features" --sanitizer "$sanitizer" "$target" "${corpora[@]}" -- \
        -runs="${RUNS:-10000000}" -max_len="${longest[$target]}" -rss_limit_mb=2048 -timeout=20 \
        -print_final_stats=1 -verbosity=1 > "corpus/$target.log" 2>&1 ||
        { tail -40 "corpus/$target.log"; echo "FAILED: $target"; exit 1; }
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "corpus/$target.log")
    coverage=$(grep -o 'cov: [0-9]*' "corpus/$target.log" | tail -1)
    echo "$target: $executed executions, $coverage"
done
