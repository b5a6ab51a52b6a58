#!/usr/bin/env bash
# Kills a small run at random moments and resumes it: each has to end with the bits of a run that was
# never killed. Prints where the kills fell, and the seed, with which the moments are the same again.
#
#     scripts/faults/kills.sh [KILLS [SEED]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export SD_KILLS=${1:-100} SD_KILL_SEED=${2:-$RANDOM}
echo "$(git rev-parse --short HEAD): $SD_KILLS kills, seed $SD_KILL_SEED"
cargo xtask test --test faults killed_at_any_moment -- --nocapture
