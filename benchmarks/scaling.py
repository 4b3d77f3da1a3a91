"""What a second worker and a second run at a time give: `python -m benchmarks.scaling [--steps 40] [--rounds 3]`.

One run of the demo's data at a width of 128 (64 triplets, 24 embedded images), by its record's own clock, without its
dev evaluations: one worker with one thread, one worker with two, two workers with one thread each. Then four such runs,
as a search launches them, one at a time and two at a time, one CPU each: a run's own time, over the runs at a time. So
what Ray takes to start processes is in none of it (that is benchmarks/launch.py); each way has a Ray of its own, and
rounds alternate. Efficiency is the gain over one thread, or over one at a time, divided by two. A run's workers
exchange embeddings and gradients by gloo on the loopback; two runs share caches and memory bandwidth, nothing else.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

from nlcse_tune.config import RunConfig
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.joined import open_ray  # sets Ray's environment before ray's import
from nlcse_tune.launch.pool import Pool
from nlcse_tune.launch.spec import Resources, RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.study import find_study

RUNS = 4  # of a search's worth
WIDE = {"encoder.scratch.hidden_size": 128, "side.batch_size": 24, "train.loader_threads": 1}


def specs_of(folder: Path, config: RunConfig, seeds: int) -> list[RunSpec]:
    paths = StudyPaths(folder, "scaling")
    return [run_spec(paths, config, seed, fingerprints(config)) for seed in range(seeds)]


def seconds_of(resources: Resources, at_a_time: int, config: RunConfig, runs: int) -> float:
    """Of a step, by the runs' own clocks: the mean over the runs, over how many there are at a time."""
    with tempfile.TemporaryDirectory() as folder, open_ray(None, print):
        specs = specs_of(Path(folder), config, runs)
        Pool(resources, at_a_time, None).run(ListedRuns(specs, lambda *_: None), specs[0].study.ray)
        records = [RunRecord.read(spec.paths.record) for spec in specs]
    if broken := [record for record in records if record is None or record.timings is None]:
        raise SystemExit(f"{resources}: {broken[0].error if broken[0] else 'no record'}")
    return mean(record.timings.train / record.steps for record in records if record and record.timings) / at_a_time


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", default=40, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    options = parser.parse_args()
    fields = {**WIDE, "train.max_steps": options.steps, "train.eval_every": options.steps}
    config = find_study("demo").with_overrides(fields).config
    ways: dict[str, Callable[[], float]] = {
        "one worker, one thread": lambda: seconds_of(Resources(1, 1.0), 1, config, 1),
        "one worker, two threads": lambda: seconds_of(Resources(1, 2.0), 1, config, 1),
        "two workers, one thread each": lambda: seconds_of(Resources(2, 1.0), 1, config, 1),
        "four runs, one at a time": lambda: seconds_of(Resources(), 1, config, RUNS),
        "four runs, two at a time": lambda: seconds_of(Resources(), 2, config, RUNS),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            seconds[name].append(way())
            print(f"{name:32}{seconds[name][-1]:10.3f} s", flush=True)
    print(f"\n{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {options.rounds} rounds")
    print(f"{'':32}{'ms a step':>20}{'gain':>8}{'efficiency':>12}")
    for names in (list(ways)[:3], list(ways)[3:]):
        first = seconds[names[0]]
        for name in names:
            gain = median(a / b for a, b in zip(first, seconds[name], strict=True))
            share = f"{gain / 2:.0%}" if name != names[0] else ""
            print(f"{name:32}{1000 * median(seconds[name]):>20.2f}{gain:>8.2f}{share:>12}")


if __name__ == "__main__":
    main()
