"""How a Ray of our own starts on a machine at work: `search demo --trials 1`, ten times beside busy processes.

    uv run benchmarks/starts.py [--starts 10] [--busy 8]

Says for each how it ended and how long it took; exits with 1 where one ended otherwise than well or with a traceback.
Run it on a machine that nobody else uses: it is the load.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPIN = "while True: pass"


@contextmanager
def busy(number: int) -> Iterator[None]:
    """So many processes that do nothing but work."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start(folder: Path) -> bool:
    """One search in a folder of its own; whether it ended well."""
    call = [sys.executable, "-m", "nlcse_tune", "search", "demo", "--trials", "1", "--out", str(folder)]
    began = time.monotonic()
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    again = said.count("Ray did not start: ")
    traceback = "Traceback (most recent call last)" in said
    last = (done.stderr.strip().splitlines() or [""])[-1]
    print(
        f"{time.monotonic() - began:6.0f} s  status {done.returncode}  Ray started again {again} times"
        f"  load {os.getloadavg()[0]:.0f}{'  TRACEBACK' if traceback else ''}{f'  {last}' if done.returncode else ''}",
        flush=True,
    )
    return done.returncode == 0 and not traceback


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--busy", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, busy(asked.busy):
        ended_well = [start(Path(folder) / str(number)) for number in range(asked.starts)]
    print(f"{sum(ended_well)} of {len(ended_well)} ended well")
    sys.exit(not all(ended_well))


if __name__ == "__main__":
    main()
