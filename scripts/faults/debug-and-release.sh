#!/usr/bin/env bash
# The same seed in a debug and a release build of our code: the weights and every number recorded
# have to be the same bits.
#
#     scripts/faults/debug-and-release.sh target/debug/sd-train target/release/sd-train
set -euo pipefail
debug=$(realpath "${1:?usage: debug-and-release.sh DEBUG RELEASE}")
release=$(realpath "${2:?usage: debug-and-release.sh DEBUG RELEASE}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# What is not of this run: paths and seconds.
numbers() {
    sed -E 's/"(seconds|images_per_second)":[^,}]*//g' "$1/epochs.jsonl"
}

for precision in f32 bf16; do
    for build in debug release; do
        out="$folder/$precision-$build"
        "${!build}" train configs/quickstart.toml --data-dir data --out "$out" --device cpu --threads 1 \
            -s train.precision="$precision" -s train.epochs=1 \
            -s data.validation.fraction=0.9 -s data.augment='[{ auto_augment = { policy = "cifar10" } }, { pad_crop = { padding = 2 } }]' \
            > /dev/null 2> "$out.log" || { cat "$out.log"; exit 1; }
    done
    cmp "$folder/$precision-debug/model.safetensors" "$folder/$precision-release/model.safetensors"
    diff <(numbers "$folder/$precision-debug") <(numbers "$folder/$precision-release")
    steps=$(grep -o '"step":[0-9]*' "$folder/$precision-debug/epochs.jsonl" | tail -1)
    echo "$precision: the same weights and records after $steps steps"
done
