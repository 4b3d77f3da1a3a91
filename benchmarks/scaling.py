"""What a second worker and a second run at a time give: `python -m benchmarks.scaling [--steps 40] [--rounds 3]`.

One run of the demo's data at a width of 128 (64 triplets, 24 embedded images), by its record's own clock, without its
dev evaluations: one worker with one thread, one worker with two, two workers with one thread each. Then four such runs,
as a search launches them, one at a time and two at a time, one CPU each, by the clock on the wall. All in one Ray;
rounds alternate. Efficiency is the gain over one thread, or over one at a time, divided by two. A run's workers
exchange embeddings and gradients by gloo on the loopback; two runs share caches and memory bandwidth, nothing else.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from nlcse_tune.config import RunConfig
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.joined import open_ray  # sets Ray's environment before ray's import
from nlcse_tune.launch.pool import Pool
from nlcse_tune.launch.spec import Resources, RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.study import find_study

SEEDS = 4  # runs of the search's worth
WIDE = {"encoder.scratch.hidden_size": 128, "side.batch_size": 24, "train.loader_threads": 1}


def specs_of(folder: Path, config: RunConfig, seeds: int) -> list[RunSpec]:
    paths = StudyPaths(folder, "scaling")
    return [run_spec(paths, config, seed, fingerprints(config)) for seed in range(seeds)]


def one_run(resources: Resources, config: RunConfig) -> float:
    """Seconds of a step."""
    with tempfile.TemporaryDirectory() as folder:
        (spec,) = specs_of(Path(folder), config, 1)
        Pool(resources, 1, None).run(ListedRuns([spec], lambda *_: None), spec.study.ray)
        record = RunRecord.read(spec.paths.record)
    if record is None or record.timings is None:
        raise SystemExit(f"{resources}: {record.error if record else 'no record'}")
    return record.timings.train / record.steps


def many_runs(at_a_time: int, config: RunConfig) -> float:
    """Seconds of a run: of the whole, from the first run's start to the last one's end, over the runs."""
    with tempfile.TemporaryDirectory() as folder:
        specs = specs_of(Path(folder), config, SEEDS)
        began = time.monotonic()
        Pool(Resources(), at_a_time, None).run(ListedRuns(specs, lambda *_: None), specs[0].study.ray)
        return (time.monotonic() - began) / SEEDS


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", default=40, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    options = parser.parse_args()
    fields = {**WIDE, "train.max_steps": options.steps, "train.eval_every": options.steps}
    config = find_study("demo").with_overrides(fields).config
    ways: dict[str, Callable[[], float]] = {
        "one worker, one thread": lambda: one_run(Resources(1, 1.0), config),
        "one worker, two threads": lambda: one_run(Resources(1, 2.0), config),
        "two workers, one thread each": lambda: one_run(Resources(2, 1.0), config),
        "four runs, one at a time": lambda: many_runs(1, config),
        "four runs, two at a time": lambda: many_runs(2, config),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with open_ray(None, print):
        many_runs(2, config)  # processes are started and torch imported
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(way())
                print(f"{name:32}{seconds[name][-1]:10.3f} s", flush=True)
    print(f"\n{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {options.rounds} rounds")
    print(f"{'':32}{'ms a step, s a run':>20}{'gain':>8}{'efficiency':>12}")
    for names, scale in ((list(ways)[:3], 1000.0), (list(ways)[3:], 1.0)):
        first = seconds[names[0]]
        for name in names:
            gain = median(a / b for a, b in zip(first, seconds[name], strict=True))
            share = f"{gain / 2:.0%}" if name != names[0] else ""
            print(f"{name:32}{scale * median(seconds[name]):>20.2f}{gain:>8.2f}{share:>12}")


if __name__ == "__main__":
    main()
