"""What is on disk of a study: one model and one reader for each kind of file, and the ids by which runs go.

A RunRecord holds dev scores only. Test scores live in a TestRecord of their own, so that a search cannot read
them: what it receives has no such field.
"""

import math
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, ValidationError

from nlcse_tune.config import Frozen, RunConfig, StsTask
from nlcse_tune.config.fields import digest
from nlcse_tune.errors import DataError
from nlcse_tune.files import write_text
from nlcse_tune.names import Setting, TestName
from nlcse_tune.plugins import RECORDED
from nlcse_tune.records.scores import TaskScore
from nlcse_tune.stats import Decision, StoppingRule
from nlcse_tune.versions import NUMERICS, Versions


class RunId(NamedTuple):
    """A run's name taken apart; `configuration` is its `configuration_id`."""

    configuration: str
    seed: int


def configuration_id(config: RunConfig, data: Mapping[str, str], numerics: str | None = None) -> str:
    """A configuration on inputs with these fingerprints, under these numerics (None: this tool's): 12 hex digits."""
    return digest(config, {**data, "numerics": numerics or NUMERICS})[:12]


def run_id(config: RunConfig, seed: int, data: Mapping[str, str]) -> str:
    """The name of a run: its `configuration_id`, then its seed."""
    return f"{configuration_id(config, data)}-s{seed}"


def split_run_id(name: str) -> RunId | None:
    """The parts of a run's name, which is like 0123456789ab-s42; None where it is no such name."""
    configuration, _, seed = name.rpartition("-s")
    return RunId(configuration, int(seed)) if configuration and seed.isdecimal() else None


def configuration_key(config: RunConfig, data: Mapping[str, str]) -> str:
    """What runs share that differ in their seed, and in the version of this tool's numerics, alone: 12 hex digits."""
    return digest(config, data)[:12]


class Stored(Frozen):
    """A model that is a file of its own. DataError where a file is not what it must be."""

    advice: ClassVar[str] = "move it away to go on without it"

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `path` holds; None where there is no such file."""
        try:
            return cls.model_validate_json(path.read_bytes(), context=RECORDED)
        except FileNotFoundError:
            return None
        except OSError as error:
            why = str(error.strerror)
        except ValidationError as error:
            first, *others = error.errors(include_url=False)
            key = ".".join(map(str, first["loc"]))
            why = f"{key + ': ' if key else ''}{first['msg']}" + (f", and {len(others)} more" if others else "")
        raise DataError(f"{path}: not a readable {cls.__name__} ({why}); {cls.advice}")

    def write(self, path: Path, *, durable: bool = True) -> None:
        """Atomically writes the file `path`."""
        write_text(path, self.model_dump_json(indent=1) + "\n", durable=durable)


class DevPoint(Frozen):
    """One dev evaluation: Spearman x 100 on STS-B dev, and the mean losses since the one before."""

    step: int
    score: float
    text_loss: float | None = None
    side_loss: float | None = Field(None, description="of several sides the sum")
    side_losses: tuple[float, ...] | None = Field(None, description="of several sides each, in their order")

    @classmethod
    def of(cls, step: int, score: float, text_loss: float, *sides: float) -> Self:
        """A point with the losses of a run's halves."""
        return cls(
            step=step, score=score, text_loss=text_loss, side_loss=sum(sides) if sides else None,
            side_losses=sides if len(sides) > 1 else None,
        )  # fmt: skip

    @property
    def of_sides(self) -> tuple[float, ...]:
        """The loss of each side."""
        return self.side_losses or (() if self.side_loss is None else (self.side_loss,))


def constant_side_loss(curve: Sequence[DevPoint]) -> str | None:
    """What to say of a side whose loss never changed: it taught nothing. None where it did, or there is no side.

    Batches differ, so a loss that is the same to five digits at each evaluation does not hang on what is in them; and
    below 1e-8 a gradient is less than what AdamW adds to its denominator.
    """
    for place, losses in enumerate(zip(*(point.of_sides for point in curve if point.of_sides), strict=True)):
        most = max(map(abs, losses), default=1.0)
        same = len(losses) > 1 and max(losses) - min(losses) <= 1e-5 * most
        if same or most < 1e-8:
            name = f"side.{place}" if curve[-1].side_losses else "the side"
            return f"{name} loss was {losses[0]:.4f} at every evaluation: the side taught nothing"
    return None


class Timings(Frozen):
    """Wall-clock seconds."""

    setup: float
    train: float
    evaluate: float
    total: float


class RunRecord(Stored):
    """One run: finished, or (status `running`, never on disk) as far as it has come."""

    run_id: str
    study: str
    seed: int
    config: RunConfig
    status: Literal["running", "completed", "stopped", "failed"]
    dev_before: float | None = Field(None, description="dev score before the first step")
    dev_curve: tuple[DevPoint, ...] = ()
    best_step: int | None = None
    best_dev: float | None = None
    best_model: str | None = Field(None, description="digest of the best model; absent in records of early versions")
    steps: int = 0
    total_steps: int | None = Field(None, description="steps of the whole run; a stopped one has fewer")
    workers: int = 1
    data: dict[str, str] = Field(description="fingerprint of each input")
    sources: dict[str, str] = Field({}, description="inputs that are data sets this tool made, by their manifests")
    versions: Versions
    timings: Timings | None = None
    events: tuple[str, ...] = Field((), description="what the run did by itself: a restart, a halved micro-batch")
    error: str | None = None
    started: str = ""
    finished: str = ""

    @property
    def configuration(self) -> str:
        """The part of the run's id that says which configuration, data and numerics it is of."""
        return self.run_id.rpartition("-s")[0] or self.run_id

    @property
    def key(self) -> str:
        return configuration_key(self.config, self.data)

    @property
    def gained(self) -> bool:
        """Whether training raised the dev score; True where one of the two scores is not known."""
        return self.best_dev is None or self.dev_before is None or self.best_dev > self.dev_before

    @property
    def share(self) -> float:
        """How much of the run was trained, 0 to 1."""
        return self.steps / (self.total_steps or self.steps or 1)

    def misfit(self, name: str) -> str | None:
        """Why this cannot be the record of the run `name`; None where it can."""
        own = f"{configuration_id(self.config, self.data, self.versions.numerics)}-s{self.seed}"
        if self.run_id != name:
            return f"holds the record of another run, {self.run_id}"
        if own != name:
            return f"its configuration, data and seed are those of {own}"
        best = max(self.dev_curve, key=lambda point: point.score, default=None)
        if not all(math.isfinite(point.score) and abs(point.score) <= 100 for point in self.dev_curve):
            return "its dev scores are no Spearman x 100"
        if best is not None and best.score != self.best_dev:
            return f"its best dev score is {self.best_dev}, and that of its curve {best.score}"
        if best is None and (self.status == "completed" or self.best_dev is not None):
            return "it has no dev curve"
        return None


class TestRecord(Stored):
    """Test scores of one run's best checkpoint."""

    advice: ClassVar[str] = "`nlcse-tune seeds` tests the run again"

    run_id: str
    opened: str
    setting: Setting
    scores: dict[StsTask, TaskScore]
    missing: dict[StsTask, str] = Field({}, description="tasks that could not be scored, and why")
    geometry: dict[Literal["alignment", "uniformity", "positives"], float] = Field(
        {}, description="`positives`: pairs of the alignment; early versions had others, and did not count them"
    )
    model: str | None = Field(None, description="digest of the model that was scored, as RunRecord.best_model")
    data: dict[str, str] = Field(description="fingerprint of each test set")
    versions: Versions

    def score(self, task: StsTask) -> float | None:
        """The task's Spearman x 100 in this record's setting; None where it was not scored."""
        return float(getattr(self.scores[task], self.setting)) if task in self.scores else None

    def misfit(self, record: RunRecord) -> str | None:
        """Why these cannot be the test scores of `record`; None where they can."""
        if self.run_id != record.run_id:
            return f"holds the scores of another run, {self.run_id}"
        if not all(abs(score.all) <= 100 for score in self.scores.values()):  # so is no NaN
            return "its scores are no Spearman x 100"
        if record.best_model is not None and self.model != record.best_model:
            return "another model of this run was scored than the one that its record names"
        return None

    def average(self, tasks: tuple[StsTask, ...]) -> float | None:
        """The mean over `tasks`; None unless every one of them was scored."""
        scores = [score for task in tasks if (score := self.score(task)) is not None]
        return sum(scores) / len(scores) if scores and len(scores) == len(tasks) else None


class Choice(Stored):
    """What a search chose; a later search of the same folder replaces it."""

    advice: ClassVar[str] = "the same `nlcse-tune search` makes it anew from its records, without training"
    study: str
    run_id: str
    point: dict[str, Any] = Field(description="the searched fields' values")
    dev: float | None
    dev_by_seed: dict[int, float] = Field({}, description="the dev scores that it was chosen by")
    config: RunConfig
    data: dict[str, str]
    seed: int = Field(description="of the search's runs")
    former_seeds: tuple[int, ...] = Field((), description="those that earlier searches of this folder chose by")
    searched: int = Field(description="points on record")
    checkpoint: str

    @property
    def search_seeds(self) -> frozenset[int]:
        """Every seed that a choice in this folder was made by: a test score at one of them is biased upward."""
        return frozenset((self.seed, *self.dev_by_seed, *self.former_seeds))


class BegunRun(Stored):
    """A run that a search began, noted before its first step."""

    config: RunConfig
    seed: int
    label: str = ""  # RunSpec.label


class Opening(Frozen):
    """Test sets of a study were opened to score `runs`. One command (`call`) leaves several, one a run."""

    time: str
    command: str = "unknown"
    by: str = "unknown"
    runs: tuple[str, ...] = ()
    call: str = ""

    @classmethod
    def by_this_command(cls, by: Literal["seeds", "evaluate"]) -> Self:
        """An opening by the command that this process runs, of no run yet."""
        command = " ".join(("nlcse-tune", *sys.argv[1:]))
        return cls(time=now(), command=command, by=by, call=uuid.uuid4().hex[:12])


class Declaration(Frozen):
    """What a comparison is about: written before its test sets are opened, where `openings` is 0."""

    keys: tuple[str, str] = Field(description="`configuration_key` of method and baseline")
    time: str
    test: TestName
    columns: tuple[StsTask | Literal["avg"], ...]
    level: float
    margin: float
    looks: tuple[int, ...] = Field(description="seeds per arm when it is tested: one number, or those of a rule")
    openings: int = Field(description="commands that had scored the method's configuration when it was written")


class Declarations(Stored):
    """All that was declared of a study's comparisons, oldest first: nothing in it is ever replaced."""

    made: tuple[Declaration, ...] = ()


class KeptRule(Stored):
    """The stopping rule of a comparison, written before its first look, and the looks taken since.

    It holds for two configurations, one way to score them, and a list of seeds of which the method had been tested
    with none when it was written: under another rule, or after a look, the error rate is not kept.
    """

    keys: tuple[str, str] = Field(description="`configuration_key` of method and baseline")
    scored: str = Field(description="how, in words")
    seeds: tuple[int, ...] = Field(description="a look at n sees the first n")
    rule: StoppingRule
    taken: tuple[Decision, ...] = ()


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
