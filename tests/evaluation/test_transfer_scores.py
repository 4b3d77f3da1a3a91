"""Transfer accuracies against SentEval's protocol written a second time, with scikit-learn's own tools alone."""

import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_info, threadpool_limits

from nlcse_tune.data.transfer import Labelled, load_transfer
from nlcse_tune.errors import RunError
from nlcse_tune.evaluation import senteval, transfer
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
    part = every(load_transfer(SENTEVAL, "subj")[0], 12)  # near-ties of C flip an item here and there
    score = transfer_score(embed(encoder, part.columns, precision="fp32"), (part,))
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
    train, test = every(loaded[0], 8), every(loaded[1], 1)
    bank = embed(encoder, (*train.columns, *test.columns), precision="fp32")
    score = transfer_score(bank, (train, test))
    model = search(SPLIT_GRID).fit(embedded(encoder, train.columns[0]), train.labels)
    expected = 100 * model.score(embedded(encoder, test.columns[0]), test.labels)
    print(f"TREC, {len(train)} and {len(test)} items: {score.accuracy:.2f}, scikit-learn alone {expected:.2f}")
    assert score.accuracy == pytest.approx(expected, abs=0.5)
    chosen = model.cv_results_["mean_test_score"][model.best_index_]
    assert score.dev_accuracy == pytest.approx(100 * chosen, abs=0.5)
    assert score.accuracy > 60


def test_nested_folds_on_random_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.ScikitLearn, "folds", 3)
    bank = random_bank(60)
    labels = noisy(bank, range(60), 1)
    score = transfer_score(bank, (items(range(60), labels),))
    expected = cross_val_score(search(NESTED_GRID, 3), bank.vectors, labels, cv=folds(3)).mean()
    assert score.accuracy == pytest.approx(100 * expected, abs=1e-6)


def test_given_dev_set_chooses_the_strength() -> None:
    bank = random_bank(120)
    parts = [range(60), range(60, 90), range(90, 120)]
    labels = [noisy(bank, rows, seed) for seed, rows in enumerate(parts)]
    data = tuple(items(rows, own) for rows, own in zip(parts, labels, strict=True))
    score = transfer_score(bank, data)
    inputs = [bank.vectors[list(rows)] for rows in parts]
    models = [LogisticRegression(C=c, max_iter=5000).fit(inputs[0], labels[0]) for c in NESTED_GRID]
    chosen = max(models, key=lambda model: model.score(inputs[1], labels[1]))  # the first of equals
    assert score.dev_accuracy == pytest.approx(100 * chosen.score(inputs[1], labels[1]))
    assert score.accuracy == pytest.approx(100 * chosen.score(inputs[2], labels[2]))


def test_pairs_have_absolute_difference_and_product_and_f1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.ScikitLearn, "folds", 4)
    bank = random_bank(160)
    first, second = bank.vectors[:80], bank.vectors[80:]
    labels = (np.abs(first - second)[:, 0] + np.random.default_rng(3).normal(size=80) > 1).astype(np.int64)
    pairs = Labelled([[str(i) for i in range(80)], [str(i) for i in range(80, 160)]], labels)
    train = Labelled([column[:50] for column in pairs.columns], labels[:50])
    test = Labelled([column[50:] for column in pairs.columns], labels[50:])
    both = np.hstack([np.abs(first - second), first * second])
    np.testing.assert_allclose(features(bank, pairs), both)
    score = transfer_score(bank, (train, test))
    model = search(SPLIT_GRID, 4).fit(both[:50], labels[:50])
    assert score.accuracy == pytest.approx(100 * model.score(both[50:], labels[50:]))
    assert score.f1 == pytest.approx(100 * f1_score(labels[50:], model.predict(both[50:])))


def plain_fit(
    inputs: np.ndarray, labels: np.ndarray, dev: tuple[np.ndarray, np.ndarray] | None, penalty: float, fast: bool
) -> tuple[torch.nn.Linear, float]:
    """SentEval's classifier by its words, one at a time, with torch's autograd and weight decay."""
    batch, tenacity, epochs = (128, 3, 2) if fast else (64, 5, 4)
    state = np.random.get_state()
    np.random.seed(1111)
    torch.manual_seed(1111)
    classes = int(labels.max()) + 1
    layer = torch.nn.Linear(inputs.shape[1], classes)
    kind = torch.optim.RMSprop if fast else torch.optim.Adam
    optimizer = kind(layer.parameters(), weight_decay=penalty)
    if dev is None:
        shuffled = np.random.permutation(len(inputs))
        twentieth = int(0.05 * len(inputs))
        dev = inputs[shuffled[:twentieth]], labels[shuffled[:twentieth]]
        inputs, labels = inputs[shuffled[twentieth:]], labels[shuffled[twentieth:]]
    best, kept, failed, trained = -1.0, {}, 0, 0
    while trained <= 200:
        for _ in range(epochs):
            order = np.random.permutation(len(inputs))
            for start in range(0, len(inputs), batch):
                rows = order[start : start + batch]
                optimizer.zero_grad()
                scores = layer(torch.from_numpy(inputs[rows]))
                torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels[rows])).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        trained += epochs
        with torch.no_grad():
            reached = float((layer(torch.from_numpy(dev[0])).argmax(1).numpy() == dev[1]).mean())
        if reached > best:
            best, kept = reached, {name: value.clone() for name, value in layer.state_dict().items()}
        elif failed >= tenacity:
            break
        else:
            failed += 1
    np.random.set_state(state)
    layer.load_state_dict(kept)
    return layer, best


@pytest.mark.parametrize("given", [True, False], ids=["dev set", "held out"])
@pytest.mark.parametrize("fast", [False, True], ids=["full", "fast"])
def test_sentevals_classifier_as_written_a_second_time(fast: bool, given: bool) -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(300, 6)).astype(np.float32)
    labels = (inputs[:, :3] + rng.normal(size=(300, 3))).argmax(1)  # three classes
    dev = (inputs[200:], labels[200:]) if given else None
    settings = senteval.FAST if fast else senteval.FULL
    fitted = senteval.fit(inputs[:200], labels[:200], dev, senteval.PENALTIES, settings)
    for place, penalty in enumerate(senteval.PENALTIES):
        layer, accuracy = plain_fit(inputs[:200], labels[:200], dev, penalty, fast)
        assert fitted.accuracy[place] == pytest.approx(accuracy)
        torch.testing.assert_close(fitted.weight[place].T, layer.weight.detach(), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(fitted.bias[place, 0], layer.bias.detach(), rtol=1e-3, atol=1e-4)
    assert len({round(float(norm), 3) for norm in fitted.weight.norm(dim=(1, 2))}) > 1  # penalties do something


def test_a_protocol_chooses_and_tests_as_senteval_does() -> None:
    """A task with train and test: the penalty by five folds of train, then a fit that a twentieth of it stops."""
    bank = random_bank(260)
    labels = noisy(bank, range(260), 1)
    train, test = range(200), range(200, 260)
    score = transfer_score(bank, (items(train, labels[:200]), items(test, labels[200:])), "senteval-fast")
    inputs, own = bank.vectors[:200], labels[:200]
    means = [
        np.mean([
            plain_fit(inputs[a], own[a], (inputs[b], own[b]), penalty, fast=True)[1]
            for a, b in folds(5).split(inputs, own)
        ])
        for penalty in senteval.PENALTIES
    ]  # fmt: skip
    layer, _ = plain_fit(inputs, own, None, senteval.PENALTIES[int(np.argmax(np.round(means, 4)))], fast=True)
    with torch.no_grad():
        expected = (layer(torch.from_numpy(bank.vectors[200:])).argmax(1).numpy() == labels[200:]).mean()
    assert score.dev_accuracy == pytest.approx(100 * max(means))
    assert score.accuracy == pytest.approx(100 * expected)


def test_fits_run_beside_each_other_on_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wait for each other; a library's threads are one; results stand in order, and threads are as before after."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both, said = threading.Barrier(2, timeout=60), []

    def fit(number: int) -> tuple[int, set[int]]:
        both.wait()
        return number, {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2):
        before = threadpool_info()
        results = transfer.beside([partial(fit, n) for n in range(6)], "fits", lambda *told: said.append(told))
        assert threadpool_info() == before
    assert results == [(n, {1}) for n in range(6)]
    assert said == [("fits", n, 6) for n in range(1, 7)]


def test_scores_do_not_hang_on_the_number_of_threads() -> None:
    """The classifiers' first weights are drawn in the midst of other fits."""
    bank = random_bank(200)
    labels = noisy(bank, range(200), 1)
    threads, scores = torch.get_num_threads(), []
    for count in (1, 4):
        torch.set_num_threads(count)
        scores.append([transfer_score(bank, (items(range(200), labels),), name) for name in transfer.CLASSIFIERS])
    torch.set_num_threads(threads)
    assert scores[0] == scores[1]


def test_what_ends_an_evaluation_does_not_wait_for_every_fit() -> None:
    """An error, or Ctrl-C, which comes between two results."""
    begun = []

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    def fit(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        transfer.beside([partial(fit, n) for n in range(500)], "fits", stop)
    assert len(begun) < 500


def test_the_smallest_strength_of_equals_is_taken() -> None:
    assert best((0.25, 0.5, 1.0), np.array([70.0, 71.001, 71.004])) == (0.5, 71.001)  # SentEval keeps two decimals


def test_constant_embeddings_are_an_error_not_the_majority_s_share() -> None:
    bank = random_bank(40)
    labels = noisy(bank, range(40), 1)
    same = Bank(bank.row, np.ones_like(bank.vectors))
    with pytest.raises(RunError, match="are the same vector"):
        transfer_score(same, (items(range(40), labels),))
