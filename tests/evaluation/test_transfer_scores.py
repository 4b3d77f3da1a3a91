"""Transfer accuracies against SentEval's protocol written a second time, with scikit-learn's own tools alone."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from nlcse_tune.data.transfer import Labelled, TransferData, load_transfer
from nlcse_tune.errors import RunError
from nlcse_tune.evaluation import transfer
from nlcse_tune.evaluation.embed import Bank, distinct, embed
from nlcse_tune.evaluation.transfer import best, features, transfer_score
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from tests.shared_data import DATA, needs_data

torch.set_num_threads(1)
SENTEVAL = str(DATA / "senteval")


def folds(count: int = 10) -> StratifiedKFold:
    return StratifiedKFold(count, shuffle=True, random_state=1111)


def search(grid: list[float], count: int = 10) -> GridSearchCV:
    """C by cross-validation, then a fit on everything. Mean accuracies are compared in % to two decimals."""

    def first_of_the_best(results: dict[str, np.ndarray]) -> int:
        return int(np.argmax(np.round(100 * results["mean_test_score"], 2)))

    model = LogisticRegression(max_iter=5000)
    return GridSearchCV(model, {"C": grid}, cv=folds(count), refit=first_of_the_best)


NESTED_GRID = [0.25, 0.5, 1, 2, 4, 8]
SPLIT_GRID = [0.5, 1, 2, 4, 8, 16, 32]


def embedded(encoder: SentenceEncoder, sentences: list[str]) -> np.ndarray:
    """In batches of 32 in the order given."""
    rows = []
    for start in range(0, len(sentences), 32):
        batch = encoder.tokenizer(sentences[start : start + 32], padding=True, return_tensors="pt")
        with torch.no_grad():
            rows.append(encoder.embed(batch["input_ids"], batch["attention_mask"]).numpy())
    return np.concatenate(rows)


def every(part: Labelled, step: int) -> Labelled:
    return Labelled([column[::step] for column in part.columns], part.labels[::step])


def random_bank(count: int, width: int = 4, seed: int = 0) -> Bank:
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return Bank(distinct([[str(i) for i in range(count)]]), vectors)


def noisy(bank: Bank, rows: range, seed: int) -> np.ndarray:
    """Labels that the first two dimensions say something about."""
    noise = np.random.default_rng(seed).normal(size=len(rows))
    return (bank.vectors[list(rows), 0] - bank.vectors[list(rows), 1] + noise > 0).astype(np.int64)


def items(rows: range, labels: np.ndarray) -> Labelled:
    return Labelled([[str(i) for i in rows]], labels)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return load_encoder(DATA / "models" / "bert-mini-wiki", pooler="avg")


@needs_data
def test_subj_by_nested_folds_as_an_independent_run(encoder: SentenceEncoder) -> None:
    part = every(load_transfer(SENTEVAL, "subj").train, 12)  # near-ties of C flip an item here and there
    score = transfer_score(embed(encoder, part.columns, precision="fp32"), TransferData(part))
    inputs = embedded(encoder, part.columns[0])
    expected = 100 * cross_val_score(search(NESTED_GRID), inputs, part.labels, cv=folds()).mean()
    print(f"SUBJ, {len(part)} items: {score.accuracy:.2f}, scikit-learn alone {expected:.2f}")
    assert score.accuracy == pytest.approx(expected, abs=0.5)
    assert score.accuracy > 75  # far from chance, so the comparison says something
    assert score.f1 is None


@needs_data
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_trec_with_its_split_as_an_independent_run(encoder: SentenceEncoder) -> None:
    loaded = load_transfer(SENTEVAL, "trec")
    assert loaded.test is not None
    train, test = every(loaded.train, 8), every(loaded.test, 1)
    bank = embed(encoder, (*train.columns, *test.columns), precision="fp32")
    score = transfer_score(bank, TransferData(train, test=test))
    model = search(SPLIT_GRID).fit(embedded(encoder, train.columns[0]), train.labels)
    expected = 100 * model.score(embedded(encoder, test.columns[0]), test.labels)
    print(f"TREC, {len(train)} and {len(test)} items: {score.accuracy:.2f}, scikit-learn alone {expected:.2f}")
    assert score.accuracy == pytest.approx(expected, abs=0.5)
    chosen = model.cv_results_["mean_test_score"][model.best_index_]
    assert score.dev_accuracy == pytest.approx(100 * chosen, abs=0.5)
    assert score.accuracy > 60


def test_nested_folds_on_random_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FOLDS", 3)
    bank = random_bank(60)
    labels = noisy(bank, range(60), 1)
    score = transfer_score(bank, TransferData(items(range(60), labels)))
    expected = cross_val_score(search(NESTED_GRID, 3), bank.vectors, labels, cv=folds(3)).mean()
    assert score.accuracy == pytest.approx(100 * expected, abs=1e-6)


def test_given_dev_set_chooses_the_strength() -> None:
    bank = random_bank(120)
    parts = [range(60), range(60, 90), range(90, 120)]
    labels = [noisy(bank, rows, seed) for seed, rows in enumerate(parts)]
    data = TransferData(*(items(rows, own) for rows, own in zip(parts, labels, strict=True)))
    score = transfer_score(bank, data)
    inputs = [bank.vectors[list(rows)] for rows in parts]
    models = [LogisticRegression(C=c, max_iter=5000).fit(inputs[0], labels[0]) for c in NESTED_GRID]
    chosen = max(models, key=lambda model: model.score(inputs[1], labels[1]))  # the first of equals
    assert score.dev_accuracy == pytest.approx(100 * chosen.score(inputs[1], labels[1]))
    assert score.accuracy == pytest.approx(100 * chosen.score(inputs[2], labels[2]))


def test_pairs_have_absolute_difference_and_product_and_f1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FOLDS", 4)
    bank = random_bank(160)
    first, second = bank.vectors[:80], bank.vectors[80:]
    labels = (np.abs(first - second)[:, 0] + np.random.default_rng(3).normal(size=80) > 1).astype(np.int64)
    pairs = Labelled([[str(i) for i in range(80)], [str(i) for i in range(80, 160)]], labels)
    train = Labelled([column[:50] for column in pairs.columns], labels[:50])
    test = Labelled([column[50:] for column in pairs.columns], labels[50:])
    both = np.hstack([np.abs(first - second), first * second])
    np.testing.assert_allclose(features(bank, pairs), both)
    score = transfer_score(bank, TransferData(train, test=test))
    model = search(SPLIT_GRID, 4).fit(both[:50], labels[:50])
    assert score.accuracy == pytest.approx(100 * model.score(both[50:], labels[50:]))
    assert score.f1 == pytest.approx(100 * f1_score(labels[50:], model.predict(both[50:])))


def test_the_smallest_strength_of_equals_is_taken() -> None:
    assert best((0.25, 0.5, 1.0), np.array([70.0, 71.001, 71.004])) == (0.5, 71.001)  # SentEval keeps two decimals


def test_constant_embeddings_are_an_error_not_the_majority_s_share() -> None:
    bank = random_bank(40)
    labels = noisy(bank, range(40), 1)
    same = Bank(bank.row, np.ones_like(bank.vectors))
    with pytest.raises(RunError, match="are the same vector"):
        transfer_score(same, TransferData(items(range(40), labels)))
