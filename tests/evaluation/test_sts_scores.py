"""STS scores: hand-worked settings, scipy's correlations, models that have no score, data that are not there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from nlcse_tune.config import STS_TASKS, SYNTHETIC
from nlcse_tune.data import sts as data
from nlcse_tune.data.sts import Subset
from nlcse_tune.data.tokens import TokenTable
from nlcse_tune.errors import DataError, RunError
from nlcse_tune.evaluation import embed as embed_module
from nlcse_tune.evaluation import sts
from nlcse_tune.evaluation.embed import Bank, distinct, embed_tokens, tokens_of
from nlcse_tune.evaluation.sts import DevEvaluator, cosines, pearson, score_subsets, spearman, task_score
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from tests.models.tiny import checkpoint

torch.set_num_threads(1)


@pytest.fixture
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return load_encoder(checkpoint("bert", tmp_path_factory), pooler="avg")


def subset(name: str, gold: list[float]) -> Subset:
    return Subset(name, [f"{name}{i}" for i in range(len(gold))], ["same"] * len(gold), np.array(gold))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """STS-B dev and test, and nothing else."""
    rows = [("a dog", "a hound", 5), ("a cat", "the stone", 0.5), ("a boat", "a vessel", 4), ("a lamp", "a man", 1)]
    text = "".join(f"main\tx\t2012\t{i}\t{gold}\t{a}\t{b}\n" for i, (a, b, gold) in enumerate(rows))
    for split in ("dev", "test"):
        write(tmp_path / f"STS/STSBenchmark/sts-{split}.csv", text)
    return str(tmp_path)


def test_correlations_by_hand_and_by_scipy() -> None:
    cosine, gold = np.array([0.1, 0.4, 0.3, 0.9]), np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(cosine, gold) == pytest.approx(80)  # ranks 1 3 2 4: 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1))
    # deviations -.325 -.025 -.125 .475 and -1.5 -.5 .5 1.5: 1.15 / sqrt(.3475 * 5)
    assert pearson(cosine, gold) == pytest.approx(100 * 1.15 / np.sqrt(0.3475 * 5))
    tied = np.array([1.0, 1.0, 2.0, 5.0])
    assert spearman(cosine, tied) == pytest.approx(100 * np.corrcoef([1, 3, 2, 4], [1.5, 1.5, 3, 4])[0, 1])
    rng = np.random.default_rng(0)
    cosine, gold = rng.normal(size=50), rng.integers(0, 6, size=50).astype(float)
    assert spearman(cosine, gold) == pytest.approx(100 * stats.spearmanr(cosine, gold).statistic)
    assert pearson(cosine, gold) == pytest.approx(100 * stats.pearsonr(cosine, gold).statistic)


def test_all_mean_and_wmean_of_two_subsets_by_hand() -> None:
    """One sub-set in perfect order, one reversed and with higher cosines throughout."""
    subsets = [subset("a", [1, 2, 3, 4]), subset("b", [4, 1])]
    score = task_score(subsets, [np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.6])])
    assert score.subsets["a"][0] == pytest.approx(100)
    assert score.subsets["b"] == (pytest.approx(-100), pytest.approx(-100), 2)
    assert score.mean == pytest.approx(0)
    assert score.wmean == pytest.approx((4 * 100 - 2 * 100) / 6)
    # together: cosine ranks 1..6 against gold 1 2 3 4 4 1, ranks 1.5 3 4 5.5 5.5 1.5
    assert score.all == pytest.approx(100 * np.corrcoef([1, 2, 3, 4, 5, 6], [1.5, 3, 4, 5.5, 5.5, 1.5])[0, 1])
    assert score.pearson == pytest.approx(100 * np.corrcoef([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 4, 1])[0, 1])
    assert score.pairs == 6


def test_cosines_are_those_of_a_plain_loop() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    left, right = np.array([0, 2, 2]), np.array([1, 3, 5])
    pairs = Subset("x", ["a", "c", "c"], ["b", "d", "f"], np.zeros(3))
    expected = [
        float(vectors[i] @ vectors[j]) / (np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[j]))
        for i, j in zip(left, right, strict=True)
    ]
    np.testing.assert_allclose(cosines(Bank(distinct(["abcdef"]), vectors), pairs), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((4, 3)), r"all 4 sentence embeddings are the same vector"),
        (np.ones((4, 3)) * [[1], [2], [3], [4]], r"all 4 sentence embeddings are the same vector"),
        (np.eye(4) * [[1], [0], [1], [0]], r"2 of 4 sentence embeddings are zero"),
    ],
)
def test_constant_and_zero_embeddings_have_no_score(vectors: np.ndarray, message: str) -> None:
    subsets = {"stsb": [Subset("x", ["a", "c"], ["b", "d"], np.array([1.0, 2.0]))]}
    bank = Bank(distinct([["a", "b", "c", "d"]]), vectors.astype(np.float32))
    with pytest.raises(RunError, match=message):
        score_subsets(bank, subsets)


def test_a_collapsed_encoder_is_an_error_not_a_zero(encoder: SentenceEncoder) -> None:
    with torch.no_grad():
        encoder.backbone.encoder.layer[-1].output.LayerNorm.weight.zero_()  # type: ignore[index, union-attr]
        encoder.backbone.encoder.layer[-1].output.LayerNorm.bias.fill_(1)  # type: ignore[index, union-attr]
    evaluator = DevEvaluator(SYNTHETIC, encoder)
    with pytest.raises(RunError, match="the encoder has collapsed"):
        evaluator(encoder)
    with pytest.raises(RunError, match="the encoder has collapsed"):
        sts.score_test_sets(encoder, SYNTHETIC, ["stsb"])


def test_a_missing_task_is_named_and_the_others_run(folder: str, encoder: SentenceEncoder) -> None:
    scores, similarities, missing = sts.score_test_sets(encoder, folder, ["sts12", "stsb", "sickr"])
    assert list(scores) == list(similarities) == ["stsb"]
    assert scores["stsb"].pairs == len(similarities["stsb"]) == 4
    assert set(missing) == {"sts12", "sickr"}
    assert "STS.input.MSRpar.txt" in missing["sts12"]
    assert "SICK_test_annotated.txt" in missing["sickr"]
    assert all("run `nlcse-tune data fetch senteval`" in reason for reason in missing.values())


def test_nothing_there_gives_no_score_at_all(tmp_path: Path, encoder: SentenceEncoder) -> None:
    scores, similarities, missing = sts.score_test_sets(encoder, str(tmp_path), STS_TASKS)
    assert (scores, similarities, list(missing)) == ({}, {}, list(STS_TASKS))


def test_a_broken_file_is_an_error_not_a_missing_task(folder: str, encoder: SentenceEncoder) -> None:
    write(Path(folder) / "STS/STSBenchmark/sts-test.csv", "main\tx\t2012\t1\t2 3\ta\tb\n")
    with pytest.raises(DataError, match=r"sts-test\.csv:1: must hold one gold score"):
        sts.score_test_sets(encoder, folder, ["stsb"])


def plain_score(encoder: SentenceEncoder, pairs: Subset) -> float:
    """Pair by pair, without this package's embedding, cosine or correlation."""

    def vector(sentence: str) -> torch.Tensor:
        batch = encoder.tokenizer(sentence, return_tensors="pt", truncation=True, max_length=encoder.max_length)
        return encoder.embed(batch["input_ids"], batch["attention_mask"])[0]

    with torch.no_grad():
        similarities = [
            float(torch.cosine_similarity(vector(a), vector(b), dim=0))
            for a, b in zip(pairs.left, pairs.right, strict=True)
        ]
    return 100 * float(stats.spearmanr(similarities, pairs.gold).statistic)


def test_dev_evaluator_equals_a_plain_computation(encoder: SentenceEncoder) -> None:
    evaluator = DevEvaluator(SYNTHETIC, encoder)
    expected = plain_score(encoder, data.load_dev(SYNTHETIC))
    encoder.train()
    assert evaluator(encoder, "fp32") == evaluator(encoder, "fp32")
    assert evaluator(encoder, "fp32") == pytest.approx(expected, abs=0.01)
    assert encoder.training


def test_dev_scores_of_runs_are_of_cosines_as_they_are(encoder: SentenceEncoder) -> None:
    """Rounded as test scores are, they would no longer be those on record."""
    evaluator = DevEvaluator(SYNTHETIC, encoder)
    bank = Bank(evaluator.row, embed_tokens(encoder, tokens_of(encoder, evaluator.row), "fp32"))
    exact = cosines(bank, evaluator.subset)
    assert not np.array_equal(exact, exact.round(sts.DIGITS))
    assert evaluator(encoder, "fp32") == spearman(exact, evaluator.subset.gold)
    rounded = score_subsets(bank, {"dev": [evaluator.subset]})[1]["dev"]
    np.testing.assert_array_equal(rounded, exact.round(sts.DIGITS))


def test_dev_batches_are_made_once_a_run(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = DevEvaluator(SYNTHETIC, encoder)
    for module, name in ((TokenTable, "padded"), (embed_module, "tokenize"), (embed_module, "batches")):
        monkeypatch.setattr(module, name, lambda *given: pytest.fail("made again"))
    assert evaluator(encoder, "fp32") == evaluator(encoder, "fp32")


def test_dev_evaluator_reads_a_folder(folder: str, encoder: SentenceEncoder) -> None:
    evaluator = DevEvaluator(folder, encoder)
    assert sum(len(rows) for rows, *_ in evaluator.inputs) == 8
    assert evaluator(encoder) == pytest.approx(plain_score(encoder, data.load_dev(folder)))


def test_synthetic_data_have_all_seven_tasks(encoder: SentenceEncoder) -> None:
    scores, _, missing = sts.score_test_sets(encoder, SYNTHETIC, STS_TASKS)
    assert tuple(scores) == STS_TASKS
    assert not missing
    assert scores["sts13"].all == pytest.approx(plain_score(encoder, data.load_task(SYNTHETIC, "sts13")[0]), abs=0.01)
    assert scores["sts13"].mean == scores["sts13"].all == pytest.approx(scores["sts13"].wmean)  # one sub-set
