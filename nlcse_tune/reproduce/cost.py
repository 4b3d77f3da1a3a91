"""What a row would cost: hours by runs of its kind on record, else the arithmetic that its runs amount to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nlcse_tune.config import SCRATCH, SYNTHETIC, RunConfig, SideConfig
from nlcse_tune.records.ledger import ledger
from nlcse_tune.reproduce.source import Source

# Of the texts that the shipped studies name, which need not be there.
ROWS = {"wiki1m_for_simcse.txt": 10**6, "nli_for_simcse.csv": 275_601, SYNTHETIC: 4000}
ROWS |= {f"wiki-{language}.txt": 10**6 for language in ("de", "fr", "ru", "zh")}
POSITIONS = {"image": 197, "audio": 211}  # of a side's item
SHAPES = {"large": (24, 1024), "base": (12, 768), "chinese": (12, 768)}  # layers, width D, by a word in a hub name
# Not measured: an assumption to read petaFLOP by, about a tenth of what cards of today claim in half precision.
ASSUMED = 50.0  # teraFLOP a second


@dataclass(frozen=True)
class Cost:
    """Of the runs of one study that are still to be made."""

    runs: int
    steps: int | None  # of a run; None where the rows of its text are not known
    petaflop: float | None  # of all runs: products with weights, forward and backward
    hours: float | None  # of workers, by what runs of this configuration took; None where there is none on record

    @property
    def assumed_hours(self) -> float | None:
        """What the arithmetic takes at ASSUMED."""
        return None if self.petaflop is None else self.petaflop * 1000 / ASSUMED / 3600


def cost_of(source: Source, runs: int) -> Cost:
    """The cost of so many runs."""
    steps, each = steps_of(source.config), flop_of_step(source.config)
    petaflop = None if steps is None or each is None else runs * steps * each / 1e15
    took = [r.timings.total * r.workers for r in ledger(source.paths).runs if r.timings and r.config == source.config]
    return Cost(runs, steps, petaflop, runs * fmean(took) / 3600 if took else None)


def total(costs: Sequence[Cost]) -> Cost:
    """All of them together; None where a part of it is not known."""
    petaflop = [cost.petaflop for cost in costs if cost.runs]
    hours = [cost.hours for cost in costs if cost.runs]
    return Cost(
        sum(cost.runs for cost in costs), None,
        None if None in petaflop else sum(p for p in petaflop if p is not None),
        None if None in hours else sum(h for h in hours if h is not None),
    )  # fmt: skip


def steps_of(config: RunConfig) -> int | None:
    """Text steps of a run."""
    if (rows := _rows(config)) is None:
        return config.train.max_steps
    steps = config.train.epochs * (rows // config.text.batch_size)
    return min(steps, config.train.max_steps or steps)


def _rows(config: RunConfig) -> int | None:
    path = Path(config.text.data)
    if (known := ROWS.get(path.name)) is None and path.is_file():
        with path.open("rb") as lines:
            known = sum(1 for _ in lines)
    return min(known, config.text.limit or known) if known else None


def flop_of_step(config: RunConfig) -> float | None:
    """Multiplications and additions of a step's products with weights, sentences counted at their full length.

    12 D^2 weights a layer, two operations each; the backward takes twice the forward. None for an unknown shape.
    """
    if (shape := _shape(config)) is None:
        return None
    layers, width = shape
    views = 3 if config.text.objective == "supervised" else 2
    text = config.text.batch_size * views * config.text.max_length
    positions = text + sum(_side_positions(side, config, text) for side in config.sides)
    return 3.0 * 2 * 12 * width**2 * layers * positions


def _side_positions(side: SideConfig, config: RunConfig, text: int) -> int:
    """Positions that a side's step puts through the layers; `text` of them are the text's."""
    if side.control == "again":
        return text
    each = config.text.max_length if side.control == "text" else POSITIONS.get(side.modality, max(POSITIONS.values()))
    return side.batch_size * 2 * each


def _shape(config: RunConfig) -> tuple[int, int] | None:
    name, scratch = config.encoder.checkpoint, config.encoder.scratch
    if name == SCRATCH:
        return scratch.layers, scratch.hidden_size
    if (own := Path(name) / "config.json").is_file():
        shape = json.loads(own.read_text(encoding="utf-8"))
        return (shape["num_hidden_layers"], shape["hidden_size"]) if "num_hidden_layers" in shape else None
    return next((shape for word, shape in SHAPES.items() if word in name), None)
