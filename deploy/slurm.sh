#!/usr/bin/env bash
# One search over the nodes of a Slurm job, from a folder that all of them share and that has data/ in it:
#   sbatch deploy/slurm.sh visualcse-bert
# All that `nlcse-tune search` takes may follow. Given again, it goes on from the records.
#SBATCH --job-name=nlcse-tune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
# `ray symmetric-run` ends with `ray stop`, which ends every Ray of yours on a node.
#SBATCH --exclusive
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$head:$((20000 + SLURM_JOB_ID % 10000))" # 10002 to 19999 are for Ray's workers

# The token lies in your home folder, which the nodes share. Other keys (WANDB_API_KEY, AWS_...) come from the shell in
# which sbatch was called; none belongs in this file.
export RAY_AUTH_MODE=token
[ -s "$HOME/.ray/auth_token" ] || ray get-auth-token --generate > /dev/null

# Seconds. Ray's own 30 are few for nodes that import from a shared disk.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 RAY_raylet_start_wait_time_s=300
began="$PWD/.nlcse-tune-began-$SLURM_JOB_ID"
# shellcheck disable=SC2016 # for the inner shell
srun --nodes="$SLURM_NNODES" --ntasks="$SLURM_NNODES" \
    ray symmetric-run --address "$address" --min-nodes "$SLURM_NNODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    bash -c 'touch "$0"; exec "$@"' "$began" \
    nlcse-tune search "$@" --address auto --out "${OUT:-runs}" --max-time "${MAX_TIME:-23h}"
# Where Ray does not start, `ray symmetric-run` says so and ends with status 0.
rm "$began" 2> /dev/null || { echo "the search did not begin: see above what Ray says" >&2; exit 1; }
