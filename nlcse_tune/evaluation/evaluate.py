"""`nlcse-tune evaluate`, as functions: any models, any tasks, every distinct sentence embedded once."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from pydantic import Field

from nlcse_tune.config import STS_TASKS, SYNTHETIC, Frozen, Pooler, StsTask
from nlcse_tune.data.lines import MissingDataError
from nlcse_tune.data.sts import Subset, load_dev, load_split, load_task
from nlcse_tune.data.transfer import TRANSFER_TASKS, Parts, TransferTask, load_transfer
from nlcse_tune.errors import ConfigError, NlcseError, RunError, first_line, nearest
from nlcse_tune.evaluation.embed import Embedder, Progress, default_precision, embed, silent
from nlcse_tune.evaluation.geometry import GeometryScore, geometry_of, load_geometry
from nlcse_tune.evaluation.models import PoolingUsed, load_model
from nlcse_tune.evaluation.packed import packed
from nlcse_tune.evaluation.sts import load_sets, score_subsets, sentences_of
from nlcse_tune.evaluation.transfer import TransferScore, transfer_score
from nlcse_tune.names import Precision, Protocol, Setting
from nlcse_tune.paths import StudyPaths, find_model, run_of
from nlcse_tune.records import Opening
from nlcse_tune.records.ledger import log_opening
from nlcse_tune.records.scores import TaskScore

GROUPS: dict[str, tuple[str, ...]] = {
    "sts": STS_TASKS,
    "transfer": TRANSFER_TASKS,
    "all": (*STS_TASKS, "sts-dev", "sickr-dev", "geometry", *TRANSFER_TASKS),
}
ALIASES = {"stsb-dev": "sts-dev"}
Result = TypeVar("Result")


class Opened(NamedTuple):
    """The tasks that could be read, and why the others could not."""

    data: str
    sets: dict[str, list[Subset] | Parts]
    missing: dict[str, str]


class EvaluationResult(Frozen):
    """What one model scored; `missing` says why a task is not there. Absent is absent, never 0."""

    model: str
    pooling: PoolingUsed
    data: str
    device: str
    precision: Precision
    sts: dict[StsTask, TaskScore] = Field({})
    dev: dict[str, TaskScore] = Field({}, description="sts-dev, sickr-dev, stsb-de, ...")
    transfer: dict[TransferTask, TransferScore] = Field({})
    protocol: Protocol = Field(description="the classifier of the transfer tasks")
    geometry: GeometryScore | None = None
    missing: dict[str, str] = Field({})
    sentences: int
    seconds: float

    def average(self, value: Setting | Literal["accuracy"] = "all") -> float | None:
        """Mean over the seven STS tasks or, of `accuracy`, the seven transfer tasks; None unless all are there."""
        scores: dict[Any, Frozen] = {**self.sts, **self.transfer}
        tasks = TRANSFER_TASKS if value == "accuracy" else STS_TASKS
        values = [float(getattr(scores[task], value)) for task in tasks if task in scores]
        return sum(values) / len(values) if len(values) == len(tasks) else None


def open_tasks(tasks: Sequence[str], data: str) -> Opened:
    """Reads tasks, as `expand_tasks` takes them, from a folder in SentEval's layout or "synthetic".

    ConfigError for an unknown task; DataError for a bad file; MissingDataError if nothing could be read.
    """
    sets, missing = load_sets(expand_tasks(tasks), lambda task: _load(task, data))
    if not sets:
        raise MissingDataError("\n".join(dict.fromkeys(missing.values())))
    return Opened(data, sets, missing)


def of_each(models: Sequence[str], work: Callable[[str], Result]) -> tuple[dict[str, Result], dict[str, NlcseError]]:
    """What `work` makes of each model, and why it fails with the others."""
    results: dict[str, Result] = {}
    failed: dict[str, NlcseError] = {}
    for model in models:
        try:
            results[model] = work(model)
        except NlcseError as error:
            failed[model] = error
        except torch.OutOfMemoryError as error:
            failed[model] = RunError(f"{model}: the device's memory does not hold it: {first_line(error)}")
    return results, failed


def evaluate(
    model: str,
    tasks: Sequence[str] | Opened,
    data: str = "",
    *,
    pooler: Pooler | None = None,
    force: bool = False,
    out: Path = Path("runs"),
    precision: Precision | None = None,
    device: str = "cpu",
    protocol: Protocol = "scikit-learn",
    progress: Progress = silent,
) -> EvaluationResult:
    """Loads `model`, scores it and says what was missing.

    `tasks` of `data` as `open_tasks` takes them, or opened already. Its errors; ConfigError or DataError for an unknown
    or damaged model or another pooling than its own; RunError for NaN or constant embeddings, or words that it does not
    know. Opening the STS test sets for a study's run is noted beside its records for a report.
    """
    opened = tasks if isinstance(tasks, Opened) else open_tasks(tasks, data)
    progress("loading the model", 0, 1)
    loaded = load_model(model, pooler, force=force, out=out, device=device)
    if set(opened.sets) & set(STS_TASKS) and (folder := find_model(model, out)) and (run := run_of(folder)):
        opening = Opening.by_this_command("evaluate")
        log_opening(StudyPaths(run.study.parent, run.study.name), opening, run.run_id)
    started, where = time.perf_counter(), loaded.encoder.device
    precision = precision or default_precision(where)
    scores = _score(loaded.encoder, opened.sets, precision, protocol, progress)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return EvaluationResult(
        model=model, pooling=loaded.pooling, data=opened.data, device=name, precision=precision, protocol=protocol,
        missing=opened.missing, seconds=time.perf_counter() - started, **scores,
    )  # fmt: skip


def expand_tasks(tasks: Sequence[str]) -> list[str]:
    """Single tasks, once each, of groups and commas; "all" is every task that needs neither a language nor a query."""
    names = [name.strip().lower() for entry in tasks for name in entry.split(",") if name.strip()]
    singles = list(dict.fromkeys(single for name in names for single in GROUPS.get(name, (ALIASES.get(name, name),))))
    for name in singles:
        if name not in GROUPS["all"] and not name.startswith("stsb-"):
            known = (*GROUPS, "stsb-LANG", "retrieval", *GROUPS["all"])
            raise ConfigError(f"--tasks {name}: no such task{nearest(name, known)}; known: {', '.join(known)}")
    if not singles:
        raise ConfigError("--tasks: names no task; for instance --tasks sts")
    return singles


def _load(task: str, data: str) -> list[Subset] | Parts:
    if task in STS_TASKS:
        return load_task(data, task)
    if task == "sts-dev":
        return [load_dev(data)]
    if task == "geometry":
        return load_geometry(data)
    if task in TRANSFER_TASKS:
        return load_transfer(data, task)
    if data == SYNTHETIC:
        raise MissingDataError(
            f"{task}: the synthetic data have no such task; give a folder in SentEval's layout as --data"
        )
    if task == "sickr-dev":
        return [load_split(data, "sickr", "dev")]
    return [load_dev(data, task.removeprefix("stsb-"))]


def _score(
    encoder: Embedder,
    sets: dict[str, list[Subset] | Parts],
    precision: Precision,
    protocol: Protocol,
    progress: Progress,
) -> dict[str, Any]:
    """The scores among an EvaluationResult's fields, and how many sentences gave them."""
    transfer = {task: parts for task, parts in sets.items() if isinstance(parts, tuple)}
    pairs = {task: subsets for task, subsets in sets.items() if isinstance(subsets, list)}
    items = [sentences for parts in transfer.values() for part in parts for sentences in part.columns]
    with packed(encoder, precision):
        bank = embed(encoder, [*sentences_of(pairs), *items], precision, progress)
    geometry = pairs.pop("geometry", None)
    scores = score_subsets(bank, pairs)[0]
    fields: dict[str, Any] = {"sts": {}, "dev": {}, "transfer": {}, "sentences": len(bank.vectors)}
    for task, score in scores.items():
        fields["sts" if task in STS_TASKS else "dev"][task] = score
    for task, parts in transfer.items():
        fields["transfer"][task] = transfer_score(bank, parts, protocol, _of_task(task, progress))
    return fields | {"geometry": geometry_of(bank, geometry) if geometry else None}


def _of_task(task: str, progress: Progress) -> Progress:
    return lambda what, done, total: progress(f"{task}: {what}", done, total)
