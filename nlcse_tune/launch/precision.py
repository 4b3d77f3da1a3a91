"""`train.precision: auto`, found before any run has a name: bf16 where the cards have it, else fp16, fp32 on a CPU.

What was found first holds for the study's folder (records/precision.py), and for its baseline in one comparison with
it. Torch is asked in a process of its own: it alone says what it can use, and commands do without it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Literal, NamedTuple

from nlcse_tune.config import AUTO
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.launch.preflight import may_have_gpu
from nlcse_tune.launch.spec import Launch
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.precision import HeldPrecision, held_precision, hold
from nlcse_tune.study import Study

LIMIT = 300.0  # seconds for an answer: torch's import on a slow disk
ASK = """
import json, torch
cards = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
bf16 = lambda card: torch.version.hip is not None or torch.cuda.get_device_capability(card) >= (8, 0)
print(json.dumps([(torch.cuda.get_device_name(card), bf16(card)) for card in cards]))
"""


class Card(NamedTuple):
    """A GPU, and whether it multiplies in bf16 (others pretend to)."""

    name: str
    bf16: bool


def settle(study: Study, paths: StudyPaths, launch: Launch | None, note: Callable[[str], None]) -> Study:
    """The study with a precision that runs can have, which holds for its folder; whoever calls holds its lock.

    A study that says its precision itself stays as it is, and so does the folder. `launch` is None for a run in this
    very process, which takes the GPU that it finds.
    """
    if (found := find(study, paths, launch, note)) is None:
        return study
    hold(paths, found)
    return study.with_precision(found.precision)


def find(study: Study, paths: StudyPaths, launch: Launch | None, note: Callable[[str], None]) -> HeldPrecision | None:
    """What `auto` is: as held by the study's folder, else by its baseline's, else as found; None for another value."""
    if study.config.train.precision != AUTO:
        return None
    found = _held(study, paths) or (_here(launch) if launch is None or launch.here else _there(launch, study))
    note(f"{study.name}: train.precision auto is {found.precision} ({found.device})")
    return found


def known(study: Study, paths: StudyPaths, *, fresh: bool = False) -> Study:
    """The study with what holds for its folder already; `fresh` where that is about to be set aside."""
    if study.config.train.precision != AUTO or fresh or (found := _held(study, paths)) is None:
        return study
    return study.with_precision(found.precision)


def expected(study: Study, paths: StudyPaths, *, fresh: bool = False) -> Study:
    """As `known`, for who only looks: what nobody knows yet is fp32, since no run is on record under another name."""
    study = known(study, paths, fresh=fresh)
    return study.with_precision("fp32") if study.config.train.precision == AUTO else study


def _held(study: Study, paths: StudyPaths) -> HeldPrecision | None:
    baseline = StudyPaths(paths.root, study.baseline) if study.baseline else None
    return held_precision(paths) or (held_precision(baseline) if baseline else None)


def _here(launch: Launch | None) -> HeldPrecision:
    if (launch and launch.gpus_per_worker == 0) or not may_have_gpu():
        return HeldPrecision.found("fp32", "without a GPU")
    return least(local_cards())


def least(cards: Iterable[Card]) -> HeldPrecision:
    """What all of these cards can do: the least capable decides."""
    if not (cards := list(cards)):
        return HeldPrecision.found("fp32", "torch sees no GPU")
    precision: Literal["bf16", "fp16"] = "bf16" if all(card.bf16 for card in cards) else "fp16"
    deciding = [card.name for card in cards if card.bf16 == (precision == "bf16")]
    return HeldPrecision.found(precision, " and ".join(dict.fromkeys(deciding)))


def cards_of(environment: dict[str, str]) -> list[Card]:
    """This machine's cards, as torch sees them in this environment."""
    call = [sys.executable, "-c", ASK]
    try:
        done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"train.precision: torch did not say within {LIMIT:g} s which GPUs there are; {_SAY}") from None
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["no word of why"]
        raise RunError(f"train.precision: torch could not be asked for GPUs: {why[0]}; {_SAY}")
    return [Card(*card) for card in json.loads(done.stdout.splitlines()[-1])]


@cache
def local_cards() -> tuple[Card, ...]:
    return tuple(cards_of(dict(os.environ)))


_SAY = "say which, for instance --set train.precision=bf16 (or fp16, fp32)"


def _there(launch: Launch, study: Study) -> HeldPrecision:
    """On a cluster that is up: its nodes with GPUs are asked, where runs will have GPUs."""
    if launch.gpus_per_worker == 0:
        return HeldPrecision.found("fp32", "without a GPU")
    from nlcse_tune.launch.joined import JoinedRay, open_ray  # Ray, which a command for this machine does without
    from nlcse_tune.launch.nodes import ask_gpu_nodes
    from nlcse_tune.launch.room import Room

    with open_ray(launch.address, lambda text: None, study.name) as opened:
        if not Room(launch, changes=isinstance(opened, JoinedRay)).resources.gpus:
            return HeldPrecision.found("fp32", "a cluster without a GPU")
        answers = ask_gpu_nodes(cards_of_node, LIMIT)
    if not answers:
        raise ConfigError(f"train.precision: auto: no node with a GPU is up to be asked what it can do; {_SAY}")
    if blind := [node for node, cards in answers.items() if not cards]:
        return HeldPrecision.found("fp32", f"torch sees no GPU on {blind[0]}")
    return least(card for cards in answers.values() for card in cards)


def cards_of_node() -> list[Card]:
    """On a node: all of its cards. Ray hides them from a task that asks for none."""
    hidden = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    return cards_of({name: value for name, value in os.environ.items() if name not in hidden})
