"""How long it takes to read many records: `python -m benchmarks.report` makes 2,000 synthetic ones and times what
reads them: `report`, `search --show`, and the start of a search (its state, and its journal, made anew and added to).

Each in a process of its own; CPU seconds beside wall seconds, since these machines are shared.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.study import find_study
from tests.synthetic_records import make_run, make_study

STUDY = """extends: demo
trials: {records}
space:
  parameters:
    text.learning_rate: {{low: 1e-5, high: 1e-2, log: true}}
    side.learning_rate: {{low: 1e-6, high: 1e-2, log: true}}
"""
START = """
from pathlib import Path
from nlcse_tune.paths import StudyPaths
from nlcse_tune.search.journal import Journal
from nlcse_tune.search.state import load_state
from nlcse_tune.study import find_study
Journal(load_state(find_study({study!r}), StudyPaths(Path({root!r}), "many"), None))
"""


def make(root: Path, records: int) -> Path:
    """A searched study with so many runs, and two studies of ten tested seeds each; the searched study's file."""
    path = root / "many.yaml"
    path.write_text(STUDY.format(records=records))
    study, rng = find_study(str(path)), np.random.default_rng(0)
    data = fingerprints(study.config)
    for _ in range(records):
        text, side = (float(10**value) for value in rng.uniform((-5, -6), (-2, -2)))
        config = study.configure({"text.learning_rate": text, "side.learning_rate": side})
        make_run(root, study, study.search_seed, rng, config=config, data=data, tested=False, shift=np.log10(text))
    method = find_study("visualcse-bert")
    for tested, shift in ((method, 1.0), (find_study("simcse-bert"), 0.0)):
        make_study(root, tested, range(1, 11), rng, shift=shift)
    for number in range(records):
        config = method.configure({"text.learning_rate": 1e-5 + number * 1e-9})
        make_run(root, method, method.search_seed, rng, config=config, tested=False)
    return path


def timed(label: str, *command: str) -> None:
    """Runs a command and prints what it took."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{label:<42} {wall:6.2f} s wall  {cpu:6.2f} s CPU")


def main() -> None:
    """Makes the records once, then times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        study = make(root, args.records)
        print(f"{args.records} records of a search, as many of a method; load {os.getloadavg()[0]:.1f}")
        tool, out = ("-m", "nlcse_tune"), ("--out", folder)
        timed("nlcse-tune --version", *tool, "--version")
        timed("report visualcse-bert", *tool, "report", "visualcse-bert", *out)
        timed("report visualcse-bert --figures", *tool, "report", "visualcse-bert", "--figures", *out)
        timed("search --show", *tool, "search", str(study), "--show", *out)
        start = START.format(study=str(study), root=folder)
        timed("start of a search, journal made anew", "-c", start)
        timed("start of a search, journal added to", "-c", start)


if __name__ == "__main__":
    main()
