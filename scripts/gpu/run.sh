#!/usr/bin/env bash
# Checks that ResNet-18, dense and compressed, computes on a GPU, and measures the step: see README.md.
#
#     scripts/gpu/run.sh STEP…     unpack, smoke, speed
set -euo pipefail

usage() {
    sed -n '2,4s/^# \?//p' "$0" >&2
    exit 2
}
[[ $# -gt 0 ]] || usage
for step in "$@"; do
    [[ $step =~ ^(unpack|smoke|speed)$ ]] || usage
done

: "${DEVICE:=cuda:0}" "${PYTHON:=python3}"
: "${BATCH:=512}" "${SECONDS_EACH:=5}"
: "${CHANGES:=}" # further `-s KEY=VALUE`, without spaces in them
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "${OUT:=$root/gpu-package/out}"
OUT=$(cd "$OUT" && pwd)
cd "$root"
package=gpu-package
configs=configs/cifar100
smooth='label_smoothing = 0.1'
dense=("$configs/resnet18-dense-plain.toml" -s "objective={ deepest_only = { $smooth } }")
compressed=("$configs/resnet18-mixed-os4-chain.toml" -s objective.self_distillation.label_smoothing=0.1
    -s objective.self_distillation.alpha=0.1 -s objective.self_distillation.teacher=all_pairs)

torch_lib=$("$PYTHON" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')
export LD_LIBRARY_PATH=$torch_lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
threads=$(($(nproc) / 2 > 0 ? $(nproc) / 2 : 1))

first_loss() { # NAME DEVICE: of the network in the array of this name
    local -n network=$1
    # shellcheck disable=SC2086  # several words
    "$package/bin/sd-train" train "${network[@]}" -s train.batch_size="$BATCH" $CHANGES --dry-run \
        --data-dir "$package/data" --device "$2" --threads "$threads" |
        sed -n 's/^first step *loss \([0-9.]*\) .*/\1/p'
}

# The device computes: the first loss of both networks is that of the CPU within 2 %. Initial weights
# differ between devices, so it is not the same number.
smoke() {
    local name here there
    for name in dense compressed; do
        here=$(first_loss "$name" cpu)
        there=$(first_loss "$name" "$DEVICE")
        echo "smoke: $name: first loss $there on $DEVICE, $here on the CPU"
        awk -v a="$here" -v b="$there" 'BEGIN { exit !(a > 0 && (b - a) ^ 2 < (0.02 * a) ^ 2) }' ||
            { echo "smoke: expected losses within 2 % of each other" >&2; return 1; }
    done
}

# The step here and in PyTorch, in turns, and the rate of a large matrix product. What fails is left
# out.
speed() {
    local name config mode
    rm -f "$OUT"/speed-*.jsonl
    for name in dense compressed; do
        config=${dense[0]}
        [[ $name == dense ]] || config=${compressed[0]}
        for _ in 1 2; do
            "$package/bin/sd-bench" step "$config" --batch "$BATCH" --seconds "$SECONDS_EACH" \
                --device "$DEVICE" --json >>"$OUT/speed-$name.jsonl" || echo "speed: $name failed" >&2
            for mode in eager compile; do
                "$PYTHON" scripts/peers/step.py "$config" --batch "$BATCH" --mode $mode \
                    --precision bf16 --seconds "$SECONDS_EACH" --device "$DEVICE" \
                    >>"$OUT/speed-$name.jsonl" || echo "speed: $name failed in PyTorch, $mode" >&2
            done
        done
    done
    "$package/bin/sd-train" count --json "${dense[0]}" "${compressed[0]}" >"$OUT/count.json"
    "$PYTHON" scripts/gpu/speed.py "$DEVICE" "$OUT/count.json" "$OUT"/speed-{dense,compressed}.jsonl |
        tee "$OUT/speed.txt"
}

for step in "$@"; do
    case $step in
        unpack) "$PYTHON" scripts/gpu/package.py unpack ;;
        smoke) smoke ;;
        speed) speed ;;
    esac
done
