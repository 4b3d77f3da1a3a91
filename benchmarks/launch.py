"""From the end of one trial to the first optimizer step of the next: `python -m benchmarks.launch [--trials 6]`.

Four ways to launch the same runs (the demo study at a few steps, one CPU each, one at a time), in one Ray:

(a) this tool: what a search and a seed study launch their runs with (`launch/pool.py`);
(b) a plain Tune function that calls the same training code, with `reuse_actors` and, as Tune has it, without;
(c) the driver that Ray documents for Tune with Train: a Tune function that builds a `TorchTrainer` and fits it.

A trial's start is the moment at which the record of the one before it was written (of the first: the call), and its
end the moment at which its own was; what it trained and evaluated, by its record's own clock, is taken off. So the cost
holds all that Tune and Train do before, between and after the runs, imports and reading data among it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.joined import open_ray  # sets Ray's environment before ray's import
from nlcse_tune.launch.pool import Pool
from nlcse_tune.launch.spec import Resources, RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.study import find_study

from ray import train, tune  # isort: skip

SMALL = {"train.max_steps": 4, "train.eval_every": 2, "encoder.scratch.hidden_size": 16, "side.batch_size": 4}
Launcher = Callable[[Sequence[RunSpec], Path], None]


def this_tool(specs: Sequence[RunSpec], storage: Path) -> None:
    """(a)."""
    Pool(Resources(), 1, None).run(ListedRuns(specs, lambda *_: None), storage)


def train_here(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    """One run in the plain way: train, report each dev score, write the record."""
    from nlcse_tune.run import run_one
    from nlcse_tune.training.context import RunContext

    chosen = RunSpec.model_validate(spec)
    chosen.paths.folder.mkdir(parents=True, exist_ok=True)

    def tell(record: RunRecord | None) -> None:
        if record:
            report({"dev": record.dev_curve[-1].score})

    record = run_one(chosen.config, chosen.seed, RunContext(chosen.paths.folder, report=tell), study="benchmark")
    record.write(chosen.paths.record)


def plain(config: dict[str, Any]) -> None:
    train_here(config["spec"], tune.report)


def train_worker(config: dict[str, Any]) -> None:
    train_here(config["spec"], train.report)


def documented(config: dict[str, Any], storage: str) -> None:
    """Ray's guide, "Hyperparameter Tuning with Ray Tune", for Train V2."""
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    v2: Any = train
    name = f"train-{config['spec']['run_id']}"
    running = v2.RunConfig(name=name, storage_path=storage, callbacks=[TuneReportCallback()])
    TorchTrainer(
        train_worker, train_loop_config=config, scaling_config=v2.ScalingConfig(num_workers=1), run_config=running
    ).fit()


def tuned(
    trainable: Callable[..., None], specs: Sequence[RunSpec], storage: Path, *, reuse: bool, resources: dict[str, float]
) -> None:
    """The same runs by a Tuner of their own."""
    tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([resources])),
        param_space={"spec": tune.grid_search([spec.model_dump(mode="json") for spec in specs])},
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=reuse),
        run_config=tune.RunConfig(name="tune", storage_path=str(storage), verbose=0),
    ).fit()


def through_train(specs: Sequence[RunSpec], storage: Path) -> None:
    """(c): the trial asks for no CPU, else on two CPUs its worker may never start (docs/ray.md, point 2)."""
    storage.mkdir(parents=True)
    driver = partial(documented, storage=str(storage))
    tuned(driver, specs, storage, reuse=False, resources={"memory": 2**20})


def cost(launcher: Launcher, trials: int) -> tuple[list[float], float]:
    """Seconds of each trial's start, and of the whole call."""
    with tempfile.TemporaryDirectory() as folder:
        paths = StudyPaths(Path(folder), "launch")
        config = find_study("demo").with_overrides(SMALL).config
        specs = [run_spec(paths, config, seed, fingerprints(config)) for seed in range(trials)]
        began = time.time()
        launcher(specs, paths.ray)
        whole = time.time() - began
        records = sorted(
            (spec.paths.record.stat().st_mtime, RunRecord.read(spec.paths.record)) for spec in specs
        )  # in the order in which they ended
    starts, before = [], began
    for ended, record in records:
        assert record is not None
        assert record.timings is not None
        starts.append(ended - before - record.timings.train - record.timings.evaluate)
        before = ended
    return starts, whole


LAUNCHERS: dict[str, Launcher] = {
    "(a) this tool": this_tool,
    "(b) Tune function, reused actors": partial(tuned, plain, reuse=True, resources={"CPU": 1.0}),
    "(b) Tune function, fresh actors": partial(tuned, plain, reuse=False, resources={"CPU": 1.0}),
    "(c) Tune + TorchTrainer, as documented": through_train,
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=6)
    trials = parser.parse_args().trials
    with open_ray(None, print):
        rows = {name: cost(launcher, trials) for name, launcher in LAUNCHERS.items()}
    own, own_whole = median(rows["(a) this tool"][0][1:]), rows["(a) this tool"][1]
    print(f"\n{trials} trials each, one at a time; seconds; ratios to (a)")
    print(f"{'':40}{'first':>8}{'others, median':>16}{'min':>7}{'max':>7}{'ratio':>8}{'whole call':>12}{'ratio':>8}")
    for name, (starts, whole) in rows.items():
        first, others = starts[0], starts[1:]
        print(
            f"{name:40}{first:8.1f}{median(others):16.2f}{min(others):7.2f}{max(others):7.2f}"
            f"{median(others) / own:8.2f}{whole:12.1f}{whole / own_whole:8.2f}"
        )


if __name__ == "__main__":
    main()
