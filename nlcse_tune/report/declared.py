"""What a comparison is about, as it was declared before its test sets were opened, and the looks taken since."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

from nlcse_tune.config import RunConfig
from nlcse_tune.names import TestName
from nlcse_tune.records import Declaration, Declarations, KeptRule, split_run_id
from nlcse_tune.report.arms import Arm, ScoredArm, config_differences, differing
from nlcse_tune.report.numbers import AVERAGE, Column
from nlcse_tune.study import Confirm

TERMS = ("test", "columns", "level", "margin")


@dataclass(frozen=True)
class Declared:
    """The confirmatory test of a comparison. `seeds` is the declared number per arm, None where none is on record.

    `openings`: how often the method had been scored when this was written down; None where nothing was. `changes`:
    what was declared otherwise later, or stands otherwise in the study now.
    """

    test: TestName
    columns: tuple[Column, ...]
    level: float
    margin: float
    seeds: int | None = None
    openings: int | None = None
    changes: tuple[str, ...] = ()


def declared_test(confirm: Confirm, method: RunConfig, baseline: RunConfig) -> TestName:
    """The test that a study declares: its own, or paired where the arms share their text stream, else Welch's.

    Arms that differ in their side alone see the same sentences in the same order under the same dropout at each seed.
    """
    shared = not config_differences(baseline, method, parts=("encoder", "text", "train"))
    return confirm.test or ("paired" if shared else "welch")


def declaration_of(method: Arm, baseline: Arm, kept: KeptRule | None = None) -> Declared:
    """What counts: the last that was written before an opening, else the first; nothing on record: the study's own.

    A stopping rule's test is its own, and its margin what was written down when it began, before its first look.
    """
    confirm = method.study.confirm
    test = declared_test(confirm, method.config, baseline.config)
    own = Declared(test, confirm.columns, confirm.level, confirm.margin)
    made = _written(method, baseline)
    if kept:
        begun = next((d for d in made if (d.test, d.looks) == (kept.rule.test, kept.rule.looks)), None)
        margin, openings = (begun.margin, 0) if begun else (own.margin, None)
        return Declared(kept.rule.test, (AVERAGE,), kept.rule.alpha, margin, openings=openings)
    if not made:
        return own
    before = [declaration for declaration in made if not declaration.openings]
    counts: Declaration = before[-1] if before else made[0]
    later = [declaration for declaration in made if declaration.openings and declaration is not counts]
    changes = [line for other in later for line in differing(_terms(other), _terms(counts), (*TERMS, "seeds"))]
    changes += differing(vars(own), vars(counts), TERMS)
    terms = counts.test, counts.columns, counts.level, counts.margin
    return Declared(*terms, counts.looks[0], counts.openings, tuple(dict.fromkeys(changes)))


def declared_before(method: Arm, baseline: Arm) -> Declaration | None:
    """The fixed number of seeds, with its test, that was last written down before an opening; None where none was."""
    fixed = [d for d in _written(method, baseline) if not d.openings and len(d.looks) == 1]
    return fixed[-1] if fixed else None


def _written(method: Arm, baseline: Arm) -> list[Declaration]:
    keys = method.runs[0].record.key, baseline.runs[0].record.key
    written = Declarations.read(method.paths.declarations) or Declarations()
    return [declaration for declaration in written.made if declaration.keys == keys]


def _terms(declaration: Declaration) -> dict[str, object]:
    return {**vars(declaration), "seeds": ", ".join(map(str, declaration.looks))}


def looks_taken(
    method: ScoredArm, baseline: ScoredArm, *, planned: int | None, apart: Collection[int] = ()
) -> tuple[int, ...]:
    """Seeds that both arms had scores of after each command that scored new ones: more than one number is peeking.

    A command that is given again goes on with the same look; one that ends short of the `planned` number has not
    looked, as far as n was declared, and one that goes beyond it has looked there. Seeds `apart` are those of a
    stopping rule, which has looks of its own.
    """
    events = [
        (opening.time, opening.command, i, run.seed)
        for i, arm in enumerate((method, baseline))
        if isinstance(arm, Arm)
        for opening in arm.openings
        if opening.by != "evaluate"
        for run in filter(None, map(split_run_id, opening.runs))
        if run.configuration in {r.record.configuration for r in arm.runs} and run.seed in {*arm.seeds} - {*apart}
    ]
    opened: tuple[set[int], set[int]] = set(), set()
    counts = []
    for _, command in groupby(sorted(events, key=lambda event: event[0]), key=lambda event: event[1]):
        for _, _, i, seed in command:
            opened[i].add(seed)
            if (n := min(map(len, opened))) == planned:
                counts.append(n)
        counts.append(min(map(len, opened)))
    return tuple(n for n in dict.fromkeys(counts) if n >= max(planned or 2, 2))
