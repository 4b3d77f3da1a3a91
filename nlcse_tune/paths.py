"""Every file that a run or a search makes, the folder of a report, and how a run is found by its name."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nlcse_tune.errors import ConfigError

_PACKAGE = Path(__file__).parent
POOLING_FILE = "nlcse_pooling.json"  # in every model folder that this tool writes
CHECKPOINTS, SEARCH = "checkpoints", "search.json"
# In a run's folder: the best dev checkpoint, a Hugging Face folder with its pooling (a link to the folder of its
# step), and the last two restart points, last-STEP-DIGEST.pt: model, optimizers, schedules, scaler, position.
BEST, LAST = "best", "last"
DATA = "NLCSE_DATA"  # of the environment; `--data` sets it for one call
_RUN = CHECKPOINTS + "/{run_id}"
_START_OF_ID = re.compile(r"[0-9a-f]{4,12}(-s\d*)?")


class _Below:
    """A path below the folder of the study; the owner's fields stand in its pattern by name."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __get__(self, owner: "RunPaths | StudyPaths", kind: type) -> Path:
        folder = owner.study if isinstance(owner, RunPaths) else owner.folder
        return folder / self.pattern.format(**vars(owner))


@dataclass(frozen=True)
class RunPaths:
    """The files of one run, all named by its id."""

    study: Path
    run_id: str

    record = _Below("records/{run_id}.json")  # RunRecord: written once, when the run ends
    test = _Below("tests/{run_id}.json")  # TestRecord: written by `seeds`, never by a search
    similarities = _Below("tests/{run_id}.npz")  # cosine of every test pair, compressed
    transfer = _Below("evaluations/{run_id}-transfer.json")  # Evaluated, by `reproduce`: accuracies of transfer tasks
    retrieval = _Below("evaluations/{run_id}-retrieval.json")  # the same: sentences that the best model retrieved
    folder = _Below(_RUN)
    lock = _Below(f"{_RUN}/lock")  # held by `nlcse-tune train`; searches and seed studies hold the study's
    begun = _Below(f"{_RUN}/run.json")  # configuration and seed of a run that a search began
    progress = _Below(f"{_RUN}/progress.json")  # RunProgress: how far a run under way is, a few seconds old
    log = _Below("logs/{run_id}.log")  # what its attempts say, for people; never cleared
    error = _Below(f"{_RUN}/error.txt")  # the traceback of the last error that ended an attempt
    trace = _Below(f"{_RUN}/trace.json.gz")  # of `train --profile`, for Perfetto or chrome://tracing
    profile = _Below(f"{_RUN}/profile.txt")  # the table of the same
    best = _Below(f"{_RUN}/{BEST}")


@dataclass(frozen=True)
class StudyPaths:
    """The folder of one study under `--out`."""

    root: Path
    study: str

    records = _Below("records")
    tests = _Below("tests")
    openings = _Below("test-openings")  # a file each time the study's test sets were scored, one a run
    opening_lines = _Below("test-openings.jsonl")  # the same as early versions wrote it, a line each
    declarations = _Below("declarations.json")  # which test each comparison is about, written before its first opening
    search = _Below(SEARCH)  # what the last search chose
    best = _Below("best.yaml")  # the same as a study
    trials = _Below("trials.csv")  # one row per run of the last search
    journal = _Below("optuna.journal")  # the search as optuna-dashboard reads it
    call = _Below("call.json")  # Call: the command that works, or worked last, on this folder
    stop = _Below("stop.json")  # a request that it end in order
    precision = _Below("precision.json")  # HeldPrecision: what `train.precision: auto` came to here
    numbers = _Below("numbers.json")  # Numbers: in which order searches began their configurations
    tensorboard = _Below("tensorboard")  # event files, a folder for each run
    tracking = _Below("tracking.json")  # Identity: by what MLflow and W&B know this folder again
    ray = _Below("ray")  # Ray Tune's own files
    ray_train = _Below("ray/train")
    report = _Below("report")  # tables and figures

    @property
    def folder(self) -> Path:
        return self.root / self.study

    @property
    def lock(self) -> Path:
        """Held by the one search or seed study that works on this folder; beside it, since --fresh moves the folder.

        Of the folder that the name leads to: what several names or links reach has one lock.
        """
        folder = self.folder.resolve()
        return folder.with_name(f".{folder.name}.lock")

    def rule(self, keys: tuple[str, str]) -> Path:
        """The stopping rule over two configurations, and the looks taken under it."""
        return self.folder / "stopping-rules" / f"{'-'.join(keys)}.json"

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(self.folder, run_id)

    def checkpoints(self) -> list[RunPaths]:
        """The runs that have a folder for checkpoints."""
        return [self.run(folder.name) for folder in sorted(self.folder.glob(f"{CHECKPOINTS}/*"))]

    def set_aside(self) -> Path | None:
        """Moves the study's folder out of the way; returns where it lies now, None where there was none.

        A link stays, and leads to a new folder: whoever comes by another name must find the same one, and its lock.
        """
        if not self.folder.exists():
            return None
        folder = self.folder.resolve()
        target = folder.parent / ".former" / f"{folder.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        if self.folder.is_symlink():
            folder.mkdir()
        return target


def last_searched(root: Path) -> str | None:
    """The study searched last under this folder."""
    choices = sorted(root.glob(f"*/{SEARCH}"), key=lambda path: path.stat().st_mtime)
    return choices[-1].parent.name if choices else None


def studies_with_tests(root: Path) -> list[str]:
    """Names of the studies that have test records under `root`, sorted."""
    return sorted(folder.name for folder in root.glob("*") if any((folder / "tests").glob("*.json")))


def find_model(name: str, out: Path) -> Path | None:
    """The model folder that `name` means, where this tool wrote it; None where it did not (a hub name, say).

    A run's id under `out`, or the start of one (four hex digits and more) that only one run has; a run's folder; or
    the folder of the model itself. ConfigError where several runs go by the name.
    """
    folder = Path(name)
    if folder.is_dir():
        return next((path for path in (folder, folder / BEST) if (path / POOLING_FILE).is_file()), None)
    if not _START_OF_ID.fullmatch(name):
        return None
    folders = sorted(out.glob(f"*/{CHECKPOINTS}/{name}*"))
    runs = [run for run in folders if (run / BEST / POOLING_FILE).is_file()]
    runs = [run for run in runs if run.name == name] or runs
    if len(runs) > 1:
        raise ConfigError(f"{name}: {len(runs)} runs go by this name: {', '.join(map(str, runs))}; give the folder")
    return runs[0] / BEST if runs else None


def run_of(model: Path) -> RunPaths | None:
    """The run whose best model lies in the folder `model`; None where that is no study's."""
    folder = model.absolute().parent.resolve()  # only now: the model's own folder is a link
    study = folder.parent.parent
    is_run = folder.parent.name == CHECKPOINTS and (study / "records").is_dir()
    return RunPaths(study, folder.name) if is_run else None


def shipped(kind: str, checkout: Path) -> Path:
    """The folder of what the package ships: in an installed wheel, or else in the `checkout`."""
    installed = _PACKAGE / "_shipped" / kind
    return installed if installed.is_dir() else checkout


def cache_folder() -> Path:
    """Where derived data (token ids, fingerprints) is kept between runs: `$NLCSE_CACHE`, else `~/.cache/nlcse-tune`."""
    return Path(os.environ.get("NLCSE_CACHE") or Path.home() / ".cache" / "nlcse-tune")


def data_folder() -> Path:
    """Where `nlcse-tune data` puts data sets: `$NLCSE_DATA`, else `data` in the cache folder."""
    return Path(os.environ.get(DATA) or cache_folder() / "data").expanduser().absolute()


def data_path(value: str) -> Path:
    """Where the path of an input leads: where it says, seen from where one works.

    Where nothing is there, `data/x` is x in the data folder, if that is there: studies say `data/...` for both.
    """
    path = Path(value).expanduser()
    if path.parts[:1] == ("data",) and not path.exists():
        inside = data_folder().joinpath(*path.parts[1:])
        return inside if inside.exists() else path
    return path
