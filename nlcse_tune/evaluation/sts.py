"""STS scores as the published tables give them: Spearman x 100 of cosine similarities against gold scores.

The "all" setting ranks the pairs of all of a task's sub-sets together; "mean" and "wmean" average the sub-sets'
own correlations, the latter by pairs (SentEval computes all three, and papers have mixed them up: SimCSE#4).

P pairs, D width.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nlcse_tune.config import StsTask
from nlcse_tune.data.lines import MissingDataError
from nlcse_tune.data.sts import Subset, load_dev, load_task
from nlcse_tune.errors import RunError
from nlcse_tune.evaluation.embed import Bank, Embedder, Vectors, distinct, embed, embed_inputs, inputs_of, tokens_of
from nlcse_tune.names import Precision
from nlcse_tune.records.scores import SubsetScore, TaskScore

Similarities = NDArray[np.float64]  # (P,) cosines
Key = TypeVar("Key", bound=str)
Loaded = TypeVar("Loaded")

# Of a cosine, when pairs are ranked: float32 vectors have no more. Of the 61 pairs of STS12 whose sentences are the
# same, sums in another order make several different cosines, 1 to within 2e-16, which moved "mean" by 0.007 points.
DIGITS = 7


class DevEvaluator:
    """STS-B dev of `data` (a folder in SentEval's layout or "synthetic") as batches of tokens on `model`'s device.

    They are made once for all evaluations of a run. `language` takes a translation in place of the English one.
    """

    def __init__(self, data: str, model: Embedder, language: str | None = None) -> None:
        self.subset = load_dev(data, language)
        self.row = distinct((self.subset.left, self.subset.right))
        self.inputs = list(inputs_of(model, tokens_of(model, self.row)))

    def __call__(self, model: Embedder, precision: Precision | None = None) -> float:
        """Spearman x 100. The model is left in the mode it was in; RunError for NaN or constant embeddings.

        Cosines are not rounded here: one model's are the same at every call, and dev scores stay what they were.
        """
        bank = Bank(self.row, embed_inputs(model, self.inputs, len(self.row), precision))
        return spearman(cosines(bank, self.subset), self.subset.gold)


def score_test_sets(
    model: Embedder,
    data: str,
    tasks: Sequence[StsTask],
    precision: Precision | None = None,
    opened: Callable[[], None] = lambda: None,
) -> tuple[dict[StsTask, TaskScore], dict[StsTask, Similarities], dict[StsTask, str]]:
    """(scores, cosine of every pair, tasks that are missing and why) on the test splits.

    Every distinct sentence is embedded once. DataError where a file is wrong, RunError as `DevEvaluator`. `opened` is
    called before the first score, if there is any set to score.
    """
    subsets, missing = load_sets(tasks, lambda task: load_task(data, task))
    if not subsets:
        return {}, {}, missing
    opened()
    bank = embed(model, sentences_of(subsets), precision)
    return *score_subsets(bank, subsets), missing


def load_sets(tasks: Iterable[Key], load: Callable[[Key], Loaded]) -> tuple[dict[Key, Loaded], dict[Key, str]]:
    """(what `load` gives for each task, why the others are missing)."""
    sets: dict[Key, Loaded] = {}
    missing: dict[Key, str] = {}
    for task in tasks:
        try:
            sets[task] = load(task)
        except MissingDataError as error:
            missing[task] = str(error)
    return sets, missing


def sentences_of(subsets: Mapping[Key, Sequence[Subset]]) -> list[list[str]]:
    """Every list of sentences in several tasks, for `embed`."""
    return [sentences for group in subsets.values() for subset in group for sentences in (subset.left, subset.right)]


def score_subsets(
    bank: Bank, subsets: Mapping[Key, Sequence[Subset]]
) -> tuple[dict[Key, TaskScore], dict[Key, Similarities]]:
    """Scores and cosines of several tasks, each a list of sub-sets.

    Cosines are rounded to DIGITS: the rank of a pair must not hang on what the size of a batch does to its vectors.
    """
    similarities = {key: [cosines(bank, subset).round(DIGITS) for subset in group] for key, group in subsets.items()}
    scores = {key: task_score(group, similarities[key]) for key, group in subsets.items()}
    return scores, {key: np.concatenate(parts) for key, parts in similarities.items()}


def task_score(subsets: Sequence[Subset], similarities: Sequence[Similarities]) -> TaskScore:
    """The three settings of one task from its sub-sets' cosines."""
    gold, cosine = np.concatenate([s.gold for s in subsets]), np.concatenate(similarities)
    parts = {
        subset.name: SubsetScore(spearman(own, subset.gold), pearson(own, subset.gold), len(subset))
        for subset, own in zip(subsets, similarities, strict=True)
    }
    spearmans, pairs = [part.spearman for part in parts.values()], [part.pairs for part in parts.values()]
    return TaskScore(
        all=spearman(cosine, gold),
        mean=float(np.mean(spearmans)),
        wmean=float(np.average(spearmans, weights=pairs)),
        pearson=pearson(cosine, gold),
        pairs=len(gold),
        subsets=parts,
    )


def spearman(similarities: Similarities, gold: NDArray[np.float64]) -> float:
    """Spearman's rho x 100, ties at their mean rank."""
    return 100 * float(stats.spearmanr(similarities, gold).statistic)


def pearson(similarities: Similarities, gold: NDArray[np.float64]) -> float:
    """Pearson's r x 100."""
    return 100 * float(stats.pearsonr(similarities, gold).statistic)


def cosines(bank: Bank, subset: Subset) -> Similarities:
    """(P,) float64 cosines of a sub-set's pairs; RunError as `check_vary`: such a model has no score."""
    check_vary(bank.vectors[np.unique(bank.rows([*subset.left, *subset.right]))])
    first, second = (bank.of(sentences).astype(np.float64) for sentences in (subset.left, subset.right))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray(np.einsum("pd,pd->p", first, second) / norms)


def check_vary(vectors: Vectors) -> None:
    """RunError if a vector is zero, or all point the same way to within float32 rounding."""
    precise = vectors.astype(np.float64)
    norms = np.linalg.norm(precise, axis=1, keepdims=True)
    if zeros := int((norms == 0).sum()):
        raise RunError(f"{zeros} of {len(vectors)} sentence embeddings are zero, so their cosine is undefined")
    units = precise / norms
    if np.abs(units - units[0]).max() < 1e-6:
        raise RunError(
            f"all {len(vectors)} sentence embeddings are the same vector, so there is nothing to rank: the encoder has "
            "collapsed (a lower learning rate or a larger temperature helps) or its pooling is wrong"
        )
