#!/usr/bin/env bash
# What a GPU shows, in one call of under nine minutes: the checks that only a GPU can make, then benchmarks/gpu.py,
# whose table comes last.
#
#     bash benchmarks/gpu.sh            on a machine with a GPU
#     bash benchmarks/gpu.sh --tiny     anywhere, with tiny shapes: whether the script runs
#
# It needs neither network, Ray nor Optuna; of packages torch, torchvision, torchaudio, transformers, pydantic,
# soundfile, scipy, ruamel.yaml and pytest. On a bare machine of Python 3.12 that has the first three and pytest, carry
# the others as wheels; here, in the repository's root:
#
#     echo /.whl/ >> .git/info/exclude
#     python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#         --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl \
#         pydantic pydantic-core==THE_ONE_THAT_IT_ASKS_FOR annotated-types typing-inspection ruamel.yaml soundfile \
#         cffi pycparser
#
# and there, before this script:
#
#     python3 -m pip install -q --no-index --no-deps --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
python=$(command -v .venv/bin/python || command -v python3)
checks=(tests/models/test_kernels.py tests/training/test_fused.py tests/training/test_gpu.py)

if [[ " $* " != *" --tiny "* ]]; then
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
    timeout 210 "$python" -m pytest -m gpu -p no:cacheprovider --durations=5 "${checks[@]}"
fi
timeout -s INT -k 30 310 "$python" -m benchmarks.gpu "$@"
