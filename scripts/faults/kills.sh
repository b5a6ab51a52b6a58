#!/usr/bin/env bash
# Kills a small run at random moments and resumes it: each has to end with the bits of a run that was
# never killed. Then the same with two processes, of which one is killed: the other has to end and to
# name it. Prints where the kills fell, and the seed, with which the moments are the same again.
#
#     scripts/faults/kills.sh [KILLS [SEED [KILLS_OF_EACH_RANK]]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export SD_KILLS=${1:-100} SD_KILL_SEED=${2:-$RANDOM}
echo "$(git rev-parse --short HEAD): $SD_KILLS kills, seed $SD_KILL_SEED"
cargo xtask test --test faults killed_at_any_moment -- --nocapture
export SD_KILLS=${3:-10}
echo "$(git rev-parse --short HEAD): $SD_KILLS kills of each of two ranks, seed $SD_KILL_SEED"
cargo xtask test --test processes a_killed_rank -- --nocapture
