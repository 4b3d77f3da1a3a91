"""What makes a row: a study, at full scale or small, and what is on record of it. Trains nothing, imports no torch."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from nlcse_tune.config import SCRATCH, SYNTHETIC, RunConfig
from nlcse_tune.config.fields import assign, digest, inputs, lacks, plain
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, NlcseError, all_of, nearest
from nlcse_tune.evaluation.tested import is_tested
from nlcse_tune.launch.precision import expected
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import RunRecord, TestRecord, configuration_key, run_id
from nlcse_tune.records.ledger import kept_test, ledger
from nlcse_tune.report.arms import searched
from nlcse_tune.study import Study, find_study
from nlcse_tune.versions import NUMERICS

Scale = Literal["full", "small"]
SMALL = "small-"  # in front of the name of a study that was made small, and so of its folder
STEPS, TRIALS = 12, 2  # of a small run, of a small search
FEWER = 100  # how many times fewer rows a small run of a part of a text has


@dataclass(frozen=True)
class Source:
    """A study as it is to be run: its configuration is its search's choice, where it was searched as it stands."""

    study: Study
    paths: StudyPaths
    config: RunConfig
    searched: bool

    @cached_property
    def data(self) -> dict[str, str]:
        """Fingerprints of its inputs."""
        return fingerprints(self.config)

    @cached_property
    def lacking(self) -> str:
        """Which input is not there; empty where all are."""
        for field, value in inputs(self.config).items():
            if plain(field) in ("text.data", "side.data") and value != SYNTHETIC and not Path(value).exists():
                return f"{field}: {value} is not there"
        try:
            _ = self.data
        except NlcseError as error:
            return str(error)
        return ""

    def run(self, seed: int) -> RunPaths:
        """The files of its run at a seed, on the inputs at hand."""
        return self.paths.run(run_id(self.config, seed, self.data))

    def kept(self, seeds: Sequence[int]) -> dict[int, tuple[RunRecord, TestRecord | None]]:
        """What is on record, by seed: of runs on the inputs at hand or, where these are not here, on the newest."""
        own, key = digest(self.config, {}), "" if self.lacking else configuration_key(self.config, self.data)
        runs = [
            record
            for record in ledger(self.paths).runs
            if record.seed in seeds and record.status == "completed" and digest(record.config, {}) == own
            if record.versions.numerics == NUMERICS and key in ("", record.key)
        ]
        newest = [record for record in runs if record.key == runs[-1].key]
        by_seed = {record.seed: record for record in newest}
        return {
            seed: (by_seed[seed], kept_test(self.paths.run(by_seed[seed].run_id), by_seed[seed]))
            for seed in seeds
            if seed in by_seed
        }

    def missing(self, seeds: Sequence[int]) -> list[int]:
        """The seeds that are not trained and tested as asked."""
        if self.lacking:
            return [seed for seed in seeds if self.kept(seeds).get(seed, (None, None))[1] is None]
        return [seed for seed in seeds if not is_tested(self.run(seed), self.config.eval)]


def find_source(
    name: str, out: Path, scale: Scale, sets: Sequence[str], settle: Callable[[Study, StudyPaths], Study] = expected
) -> Source:
    """The source of a study, small or not, with what `sets` say of it in place; every problem in one ConfigError.

    `settle` says what `train.precision: auto` is in the study's folder.
    """
    study = find_study(name)
    values = {**(small_values(study.config) if scale == "small" else {}), **values_for(name, sets)}
    study = study.with_overrides({field: value for field, value in values.items() if not lacks(study.config, field)})
    if scale == "small":
        study = study.copied(name=SMALL + name, trials=TRIALS)
    paths = StudyPaths(out, study.name)
    study = settle(study, paths).copied(baseline=None)  # a row of its own
    chosen = searched(study, paths)
    return Source(study, paths, chosen or study.config, chosen is not None)


def check_patterns(sets: Sequence[str], studies: Collection[str]) -> None:
    """ConfigError for a `--set studies:field=value` that names none of the studies of any table."""
    for text in sets:
        pattern, colon, _ = text.partition("=")[0].partition(":")
        if colon and not any(fnmatchcase(name, pattern.strip()) for name in studies):
            near = nearest(pattern.strip("* "), studies)
            raise ConfigError(f"--set {text}: no study of the tables is called {pattern.strip()!r}{near}")


def values_for(name: str, sets: Sequence[str]) -> dict[str, Any]:
    """`["text.batch_size=32", "audiocse-*:side.data=clips"]`: the values that are for one study, later ones last."""
    values: dict[str, Any] = {}

    def read(text: str) -> None:
        field, sign, value = text.partition("=")
        pattern, colon, rest = field.partition(":")
        if not colon or fnmatchcase(name, pattern.strip()):
            assign(values, f"{rest if colon else field}{sign}{value}")
        elif not (sign and rest.strip()):
            raise ConfigError(f"--set {text}: must look like field=value or studies:field=value")

    all_of(partial(read, text) for text in sets)
    return values


def small_values(config: RunConfig) -> dict[str, Any]:
    """What makes a configuration one that a laptop trains in seconds, on what is embedded: nothing is downloaded."""
    values: dict[str, Any] = {
        "encoder.checkpoint": SCRATCH, "encoder.pooler": "avg", "text.data": SYNTHETIC,
        "text.batch_size": 32, "text.learning_rate": 1e-3,
        "train.epochs": 1, "train.max_steps": STEPS, "train.eval_every": STEPS // 2, "train.precision": "fp32",
        "eval.data": SYNTHETIC, "eval.language": None,
    }  # fmt: skip
    if config.text.limit:
        values["text.limit"] = max(config.text.limit // FEWER, 32)
    if config.side:
        values |= {"side.data": SYNTHETIC, "side.batch_size": 8, "side.learning_rate": 1e-4, "side.checkpoint": None}
    return values
