"""What a training step costs, against other ways to take it: `python -m benchmarks.training [--rows text image ...]`.

this code   `training/steps.py` as the loop calls it;
(a)         sentence-transformers' trainer with MultipleNegativesRankingLoss, text alone;
(b)         a plain loop in the released way (benchmarks/peers.py), images and clips from two loader processes;
(c)         the floor: forward and backward of this code's batches, in memory; no data, no optimizers;
(c')        the matrix products of this code's step alone.

Each way is a process, so that its memory is its own; their rounds alternate, and whoever is not measured is stopped
(SIGSTOP), its loader processes too. Ratios are medians over rounds of this code's time to that of the same round.
Memory is the process's peak, and what its loader processes hold of their own. Data: --data, a folder with text/,
images/, audio/ and models/, else embedded ones. Only ratios of one call on an idle machine say anything.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from nlcse_tune.config import RunConfig
from nlcse_tune.study import find_study

ROOT = Path(__file__).resolve().parents[1]
NAMES = {
    "this": "this code",
    "a": "(a) sentence-transformers' trainer",
    "b": "(b) plain loop, released way",
    "c": "(c) forward and backward alone",
    "products": "(c') matrix products alone",
}
TITLES = {"text": "text", "image": "text + image", "audio": "text + audio", "demo": "the demo's step"}
STEPS = {"text": 8, "image": 3, "audio": 3, "demo": 6}  # of a round
WARM = 3  # steps before the first round


class Way:
    """A process that takes steps of one way when it is told to, and is stopped in between."""

    def __init__(self, name: str, config: RunConfig, threads: int, cache: Path) -> None:
        words = [sys.executable, "-m", "benchmarks.ways", name, config.model_dump_json(), str(threads)]
        own = {"NLCSE_CACHE": str(cache), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 # read where the process ends early
        self.process = subprocess.Popen(
            words, cwd=ROOT, env=os.environ | own | {"TOKENIZERS_PARALLELISM": "false"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True,
        )  # fmt: skip
        self.seconds: list[float] = []  # of a step, by round
        self.megabytes = 0.0
        self._answer()  # the first step is done
        self.take(WARM)
        self.seconds.clear()

    def take(self, steps: int) -> None:
        """A round."""
        os.killpg(self.process.pid, signal.SIGCONT)
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        answer = self._answer()
        self.seconds.append(answer["seconds"] / steps)
        self.megabytes = max(self.megabytes, answer["megabytes"])

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise SystemExit(f"{' '.join(self.process.args[2:4])} ended:\n{self.errors.read()[-3000:]}")
        os.killpg(self.process.pid, signal.SIGSTOP)
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.errors.close()


def configurations(data: Path, images: str, folder: Path) -> dict[str, RunConfig]:
    """The run of each row; what the data folder lacks is made in `folder`."""
    own = {
        "encoder": data / "models" / "bert-mini-wiki", "triplets.csv": data / "text" / "nli_triplets.csv",
        "images": data / "images" / images, "audio": data / "audio" / "fsdd",
    }  # fmt: skip
    if missing := [path for path in own.values() if not path.exists()]:
        print(f"embedded in place of {', '.join(map(str, missing))}", flush=True)
        words = [sys.executable, "-m", "benchmarks.ways", "prepare", str(folder)]
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    found = {name: str(path if path.exists() else folder / name) for name, path in own.items()}
    raw: dict[str, Any] = {
        "encoder": {"checkpoint": found["encoder"], "pooler": "cls"},
        "text": {"data": found["triplets.csv"], "objective": "supervised", "batch_size": 64},
        "eval": {"data": "synthetic"},
    }
    side = {"loss": "simclr", "batch_size": 48}
    sides = {
        "text": None,
        "image": side | {"modality": "image", "data": found["images"]},
        "audio": side | {"modality": "audio", "data": found["audio"]},
    }
    rows = {name: RunConfig.model_validate(raw | {"side": own}) for name, own in sides.items()}
    return rows | {"demo": find_study("demo").config}


def measured(row: str, config: RunConfig, options: argparse.Namespace, cache: Path) -> dict[str, Way]:
    """The ways of a row after all rounds; their processes have ended."""
    ways: dict[str, Way] = {}
    with ExitStack() as stack:
        for name in options.ways:
            if name != "a" or row == "text":
                ways[name] = Way(name, config, options.threads, cache)
                stack.callback(ways[name].close)
        for _ in range(options.rounds):
            for way in ways.values():
                way.take(STEPS[row])
    return ways


def lines_of(row: str, ways: dict[str, Way]) -> Iterator[str]:
    """A row's part of the table."""
    yield TITLES[row]
    own = ways["this"].seconds
    shares = {}
    for name, way in ways.items():
        ratio = median(theirs / ours for theirs, ours in zip(way.seconds, own, strict=True))
        shares[name] = 100 * ratio
        low, mid, high = (1000 * f(way.seconds) for f in (min, median, max))
        yield (
            f"  {NAMES[name]:<36}{ratio:>6.2f}{mid:>8.0f} ({low:.0f} to {high:.0f})".ljust(70) + f"{way.megabytes:7.0f}"
        )
    if {"c", "products"} <= shares.keys():
        outside, inside = 100 - shares["c"], shares["c"] - shares["products"]
        yield (
            f"  of this code's step: products {shares['products']:.0f}%, the rest of forward and backward "
            f"{inside:.0f}%,\n  data, optimizers and clipping {outside:.0f}%"
        )


@contextmanager
def ending(seconds: float) -> Iterator[None]:
    """Ends the whole call where it takes longer: a way that hangs must not hold the machine."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def main() -> None:
    """Prints the table, a row as soon as it is measured."""
    shared = ROOT.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=shared, type=Path)
    parser.add_argument("--images", default="cifar10", help="folder in images/: cifar10, imagenet_samples")
    parser.add_argument("--rows", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--ways", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--threads", default=len(os.sched_getaffinity(0)), type=int)
    parser.add_argument("--json", type=Path, help="all rounds' seconds, into this file")
    options = parser.parse_args()
    options.ways = list(dict.fromkeys(["this", *options.ways]))
    began, all_seconds = time.time(), {}
    with tempfile.TemporaryDirectory(prefix="nlcse-benchmark-") as folder, ending(3600):
        configs = configurations(options.data, options.images, Path(folder) / "data")
        print(
            f"{options.threads} threads, fp32, images {options.images}, load {os.getloadavg()[0]:.1f}; medians of "
            f"{options.rounds} rounds\n{'':<38}{'ratio':>6}{'ms a step (min to max)':>26}{'peak MB':>9}",
            flush=True,
        )
        for row in options.rows:
            ways = measured(row, configs[row], options, Path(folder) / "cache")
            print("\n".join(lines_of(row, ways)), flush=True)
            all_seconds[row] = {name: way.seconds for name, way in ways.items()}
    print(f"{time.time() - began:.0f} s in all; load now {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.write_text(json.dumps(all_seconds, indent=1))


if __name__ == "__main__":
    main()
