"""The test sets' own error: every run's average again on resampled sentence pairs.

S runs, P sentence pairs, M resamples
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.report.arms import Arm, Run

Arrays = Mapping[str, NDArray[Any]]  # a run's per-pair similarities, and the gold scores


def pairs_error(
    arms: tuple[Arm, Arm],
    seeds: Sequence[tuple[int, ...]],
    tasks: tuple[StsTask, ...],
    resamples: int,
    rng: np.random.Generator,
    *,
    paired: bool,
) -> stats.TwoLevel | None:
    """Both errors of the average's gap over each arm's `seeds`; None where a run's similarities were not kept."""
    pairs = zip(arms, seeds, strict=True)
    kept = [(run, _similarities(arm, run)) for arm, own in pairs for run in arm.runs if run.seed in own]
    if not all(task in arrays and f"gold_{task}" in arrays for task in tasks for _, arrays in kept):
        return None
    n, again = len(seeds[0]), np.mean([_again(kept, task, resamples, rng) for task in tasks], axis=0)
    scores = [score for run, _ in kept if (score := run.test.average(tasks)) is not None]
    return stats.two_level(scores[:n], scores[n:], (again[:, :n], again[:, n:]), rng, paired=paired)


def _similarities(arm: Arm, run: Run) -> Arrays:
    """Per-pair cosines and gold scores of one run; empty where they were not kept."""
    path = arm.paths.run(run.record.run_id).similarities
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as per-pair similarities: {error}; test the run again") from None


def _again(kept: Sequence[tuple[Run, Arrays]], task: StsTask, resamples: int, rng: np.random.Generator) -> NDArray[Any]:
    """Scores (M, S) of one task on resampled pairs, in the records' setting; sub-sets are resampled each in itself.

    DataError where a run's similarities are of other pairs, or of another checkpoint than its score.
    """
    test, gold = kept[0][0].test, kept[0][1][f"gold_{task}"]
    for run, arrays in kept:
        if not np.array_equal(arrays[f"gold_{task}"], gold) or len(arrays[task]) != len(gold):
            raise DataError(f"{run.record.run_id}: {task}'s kept pairs are not those of {test.run_id}; test both again")
        score, recorded = float(stats.spearman(arrays[task], gold)[0]), run.test.scores[task].all
        if abs(score - recorded) > 0.02:  # cosines are kept as float32
            differ = f"kept similarities give {score:.2f}, its record says {recorded:.2f}"
            raise DataError(f"{run.record.run_id}: {task}'s {differ}; test the run again")
    rows, subsets = np.stack([arrays[task] for _, arrays in kept]), test.scores[task].subsets
    if test.setting == "all" or len(subsets) <= 1:
        return stats.resampled_spearman(rows, gold, resamples, rng)
    sizes = [part.pairs for part in subsets.values()]
    if sum(sizes) != len(gold):
        raise DataError(f"{test.run_id}: {task}'s sub-sets have {sum(sizes)} pairs, the kept file {len(gold)}")
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(rows, cuts, axis=1), np.split(gold, cuts), strict=True)
    scores = [stats.resampled_spearman(part, own, resamples, rng) for part, own in parts]
    return np.average(scores, axis=0, weights=sizes if test.setting == "wmean" else None)
