"""`nlcse-tune evaluate`, as a function: one model, any tasks, every distinct sentence embedded once."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch
from pydantic import Field

from nlcse_tune.config import STS_TASKS, SYNTHETIC, Frozen, StsTask
from nlcse_tune.data.sts import MissingDataError, Subset, languages, load_dev, load_multilingual_dev, load_task
from nlcse_tune.data.transfer import TRANSFER_TASKS, TransferData, TransferTask, load_transfer
from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.evaluation.embed import Bank, Precision, default_precision, embed
from nlcse_tune.evaluation.geometry import GeometryScore, geometry_of, load_geometry
from nlcse_tune.evaluation.models import SAVED, LoadedModel, load_model, study_run
from nlcse_tune.evaluation.sts import score_subsets, sentences_of
from nlcse_tune.evaluation.transfer import TransferScore, transfer_score
from nlcse_tune.records import TaskScore, log_opening

Setting = Literal["all", "mean", "wmean"]
GROUPS: dict[str, tuple[str, ...]] = {
    "sts": STS_TASKS,
    "transfer": TRANSFER_TASKS,
    "all": (*STS_TASKS, "sts-dev", "geometry", *TRANSFER_TASKS),
}
SINGLE = (*STS_TASKS, "sts-dev", "geometry", *TRANSFER_TASKS)


class EvaluationResult(Frozen):
    """What one model scored; `missing` says why a task is not there. Absent is absent, never 0."""

    model: str
    pooling: str
    data: str
    device: str
    precision: Precision
    sts: dict[StsTask, TaskScore] = Field({})
    dev: dict[str, TaskScore] = Field({}, description="sts-dev, stsb-de, ...")
    transfer: dict[TransferTask, TransferScore] = Field({})
    geometry: GeometryScore | None = None
    missing: dict[str, str] = Field({})
    sentences: int
    seconds: float

    def average(self, setting: Setting = "all") -> float | None:
        """Mean over the seven STS tasks; None unless all seven are there."""
        scores = [getattr(self.sts[task], setting) for task in STS_TASKS if task in self.sts]
        return float(sum(scores)) / len(scores) if len(scores) == len(STS_TASKS) else None

    def transfer_average(self) -> float | None:
        """Mean accuracy over the seven transfer tasks; None unless all seven are there."""
        scores = [self.transfer[task].accuracy for task in TRANSFER_TASKS if task in self.transfer]
        return sum(scores) / len(scores) if len(scores) == len(TRANSFER_TASKS) else None


@dataclass
class _Loaded:
    """The data of an evaluation, and what is missing of it."""

    sts: dict[StsTask, list[Subset]] = field(default_factory=dict)
    dev: dict[str, list[Subset]] = field(default_factory=dict)
    transfer: dict[TransferTask, TransferData] = field(default_factory=dict)
    geometry: list[Subset] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def sentences(self) -> Iterator[Sequence[str]]:
        yield from sentences_of(self.sts)
        yield from sentences_of(self.dev)
        yield from sentences_of({"geometry": self.geometry})
        for data in self.transfer.values():
            for part in data.parts:
                yield from (part.sentences, part.seconds or [])


def evaluate(
    model: str,
    tasks: Sequence[str],
    data: str,
    *,
    pooling: str = SAVED,
    force_pooling: bool = False,
    out: Path = Path("runs"),
    precision: Precision | None = None,
    device: str | None = None,
    progress: bool = False,
) -> EvaluationResult:
    """Loads `model`, scores it and says what was missing.

    `tasks` as `expand_tasks` takes them; `data` is a folder in SentEval's layout or "synthetic". ConfigError for an
    unknown task, model or pooling; DataError for a bad file; MissingDataError if nothing at all could be read;
    RunError for NaN or constant embeddings. Where `model` is a study's run and STS test sets are among the tasks,
    that is noted beside its records: a report says how often they were opened.
    """
    loaded_data = _load(expand_tasks(tasks), data)
    if loaded_data.sts and (run := study_run(model, out)) is not None:
        log_opening(run[0], [run[1]], by="evaluate")
    loaded = load_model(model, pooling, force=force_pooling, out=out)
    loaded.encoder.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return _score(loaded, loaded_data, data, precision, progress)


def expand_tasks(tasks: Sequence[str]) -> list[str]:
    """Single tasks, in order and once each: groups (sts, transfer, all) and commas are resolved.

    "all" is every task that needs neither a language nor a query; retrieval is `retrieval.retrieve`.
    """
    names = [name.strip().lower() for entry in tasks for name in entry.split(",") if name.strip()]
    found = [single for name in names for single in GROUPS.get(name, (name,))]
    for name in found:
        if name not in SINGLE and not name.startswith("stsb-"):
            known = (*GROUPS, "stsb-LANG", "retrieval", *SINGLE)
            raise ConfigError(f"--tasks {name}: no such task{nearest(name, known)}; known: {', '.join(known)}")
    if not found:
        raise ConfigError("--tasks: names no task; for instance --tasks sts")
    return list(dict.fromkeys(found))


def multilingual_folder(data: str) -> Path:
    """Where the `stsb_multi_mt` files are: in `data`, or beside it."""
    inside, beside = Path(data) / "stsb_multi_mt", Path(data).resolve().parent / "stsb_multi_mt"
    return beside if languages(beside) and not languages(inside) else inside


def _load(tasks: Sequence[str], data: str) -> _Loaded:
    loaded = _Loaded()
    for task in tasks:
        try:
            _load_one(task, data, loaded)
        except MissingDataError as error:
            loaded.missing[task] = str(error)
    if len(loaded.missing) == len(tasks):
        raise MissingDataError("\n".join(dict.fromkeys(loaded.missing.values())))
    return loaded


def _load_one(task: str, data: str, loaded: _Loaded) -> None:
    if sts := _member(task, STS_TASKS):
        loaded.sts[sts] = load_task(data, sts)
    elif task == "sts-dev":
        loaded.dev[task] = [load_dev(data)]
    elif task == "geometry":
        loaded.geometry = load_geometry(data)
    elif data == SYNTHETIC:
        raise MissingDataError(
            f"{task}: the synthetic data have no such task; give a folder in SentEval's layout as --data"
        )
    elif transfer := _member(task, TRANSFER_TASKS):
        loaded.transfer[transfer] = load_transfer(data, transfer)
    else:
        loaded.dev[task] = [load_multilingual_dev(multilingual_folder(data), task.removeprefix("stsb-"))]


Name = TypeVar("Name", bound=str)


def _member(name: str, known: tuple[Name, ...]) -> Name | None:
    return next((one for one in known if one == name), None)


def _score(
    loaded: LoadedModel, data: _Loaded, where: str, precision: Precision | None, progress: bool
) -> EvaluationResult:
    started = time.perf_counter()
    device = loaded.encoder.device
    precision = precision or default_precision(device)
    bank = embed(loaded.encoder, data.sentences(), precision=precision, progress=progress)
    return EvaluationResult(
        model=loaded.name,
        pooling=loaded.pooling,
        data=where,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        precision=precision,
        sts=score_subsets(bank, data.sts)[0],
        dev=score_subsets(bank, data.dev)[0],
        transfer=_transfer(bank, data, progress),
        geometry=geometry_of(bank, data.geometry) if data.geometry else None,
        missing=data.missing,
        sentences=len(bank.vectors),
        seconds=time.perf_counter() - started,
    )


def _transfer(bank: Bank, data: _Loaded, progress: bool) -> dict[TransferTask, TransferScore]:
    scores: dict[TransferTask, TransferScore] = {}
    with _status(progress) as say:
        for task, loaded in data.transfer.items():
            say(f"{task}: logistic regression")
            scores[task] = transfer_score(bank, loaded)
    return scores


@contextmanager
def _status(show: bool) -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is being done; silent unless `show`."""
    if not show:
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
