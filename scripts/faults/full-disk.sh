#!/usr/bin/env bash
# A run whose disk is full: sd-train has to stop with an error that names the file, and to go on
# from its checkpoint once there is room. Needs root, for a file system of its own.
#
#     sudo scripts/faults/full-disk.sh target/release/sd-train
set -euo pipefail
program=$(realpath "${1:?usage: full-disk.sh SD_TRAIN}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
disk=$(mktemp -d)
mount -t tmpfs -o size=40m tmpfs "$disk"
trap 'umount "$disk"; rmdir "$disk"' EXIT

run() {
    "$program" train configs/quickstart.toml --data-dir data --out "$disk/run" --device cpu --threads 1 \
        --checkpoint-every 0s --max-steps "$1" "${@:2}"
}

code=0; run 1 || code=$?
[[ $code == 130 ]] || { echo "FAILED: exit code $code, expected 130"; exit 1; }
# Room for less than the second checkpoint. (The third would take the place of the first.)
free=$(df --output=avail -k "$disk" | tail -1)
head -c "$((free - 1024))K" /dev/zero > "$disk/filler"
code=0; said=$(run 6 --resume 2>&1) || code=$?
echo "$said"
[[ $code == 1 && $said == *No\ space* && $said == *ckpt* ]] ||
    { echo "FAILED: exit code $code, expected 1 and the name of the checkpoint"; exit 1; }
rm "$disk/filler"
code=0; run 6 --resume || code=$?
[[ $code == 130 ]] || { echo "FAILED: exit code $code, expected 130 with room again"; exit 1; }
echo "passed: a full disk stops the run, which goes on when there is room"
