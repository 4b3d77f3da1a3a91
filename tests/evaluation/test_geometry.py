"""Alignment and uniformity against the formulas as plain double loops."""

import math

import numpy as np
import pytest
import torch

from nlcse_tune.config import SYNTHETIC
from nlcse_tune.data.sts import Subset, load_dev, load_task
from nlcse_tune.errors import DataError, RunError
from nlcse_tune.evaluation import geometry
from nlcse_tune.evaluation.embed import Bank, distinct, embed
from nlcse_tune.evaluation.geometry import alignment, geometry_of, load_geometry, score_geometry, uniformity
from nlcse_tune.models.encoder import load_encoder
from tests.models.tiny import checkpoint
from tests.shared_data import DATA, needs_data

torch.set_num_threads(1)


def units(count: int, width: int = 5, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def squared(x: np.ndarray, y: np.ndarray) -> float:
    return float(sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True)))


def double_loop(vectors: np.ndarray) -> float:
    """log E exp(-2 |x - y|^2) over every unordered pair."""
    kernels = [math.exp(-2 * squared(x, y)) for i, x in enumerate(vectors) for y in vectors[i + 1 :]]
    return math.log(sum(kernels) / len(kernels))


def test_alignment_by_hand_and_by_loop() -> None:
    x, y = np.array([[1, 0], [0, 1]], np.float32), np.array([[0, 1], [0, -1]], np.float32)
    assert alignment(x, x) == 0
    assert alignment(x, y) == pytest.approx((2 + 4) / 2)
    left, right = units(7), units(7, seed=1)
    expected = sum(squared(a, b) for a, b in zip(left, right, strict=True)) / 7
    assert alignment(left, right) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rows", [1024, 7, 20])
def test_uniformity_by_hand_and_by_double_loop(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_ROWS", rows)  # blocks of pairs must join without a seam
    assert uniformity(np.array([[1, 0], [-1, 0]], np.float32)) == pytest.approx(-8)
    assert uniformity(np.array([[1, 0], [1, 0]], np.float32)) == pytest.approx(0)
    vectors = units(40)
    assert uniformity(vectors) == pytest.approx(double_loop(vectors), abs=1e-5)
    with pytest.raises(DataError, match="at least 2 distinct sentences"):
        uniformity(vectors[:1])


def test_geometry_of_counts_each_sentence_once_and_positives_above_4() -> None:
    names = ["a", "b", "c", "d", "unused"]
    vectors = 3 * units(5)
    bank = Bank(distinct([names]), vectors)
    subsets = [
        Subset("x", ["a", "a", "c", "a"], ["b", "c", "d", "d"], np.array([5.0, 3.9, 4.001, 4.0])),
        Subset("y", ["b"], ["a"], np.array([1.0])),
    ]
    score = geometry_of(bank, subsets)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (score.positives, score.sentences) == (2, 4)
    assert score.alignment == pytest.approx((squared(unit[0], unit[1]) + squared(unit[2], unit[3])) / 2, rel=1e-5)
    assert score.uniformity == pytest.approx(double_loop(unit[:4]), abs=1e-5)


def test_no_positive_pair_and_constant_vectors_are_errors() -> None:
    bank = Bank(distinct([["a", "b"]]), units(2))
    with pytest.raises(DataError, match=r"no pair with a gold score above 4\.0"):
        geometry_of(bank, [Subset("x", ["a"], ["b"], np.array([3.0]))])
    same = Bank(bank.row, np.ones((2, 3), np.float32))
    with pytest.raises(RunError, match="are the same vector"):  # else: alignment 0, which looks perfect
        geometry_of(same, [Subset("x", ["a"], ["b"], np.array([5.0]))])
    zero = Bank(bank.row, np.eye(2, dtype=np.float32) * [[1], [0]])
    with pytest.raises(RunError, match="zero"):
        geometry_of(zero, [Subset("x", ["a"], ["b"], np.array([5.0]))])


def test_synthetic_data_end_to_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    encoder = load_encoder(checkpoint("bert", tmp_path_factory), pooler="avg")
    score = score_geometry(encoder, SYNTHETIC, precision="fp32")
    subsets = [load_dev(SYNTHETIC), *load_task(SYNTHETIC, "stsb")]
    pairs = [(a, b) for s in subsets for a, b, g in zip(s.left, s.right, s.gold, strict=True) if g > 4]
    bank = embed(encoder, ([a for a, _ in pairs], [b for _, b in pairs]), precision="fp32")
    cosines = [
        float(np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y))
        for x, y in ((bank.of([a])[0], bank.of([b])[0]) for a, b in pairs)
    ]
    assert score.positives == len(pairs)
    assert score.alignment == pytest.approx(2 - 2 * float(np.mean(cosines)), abs=1e-5)
    assert -8 < score.uniformity < 0


@needs_data
def test_the_whole_of_sts_b_is_taken() -> None:
    subsets = load_geometry(str(DATA / "senteval"))
    assert [len(subset) for subset in subsets] == [5749, 1500, 1379]


@needs_data
def test_positives_of_sts_b_are_as_many_as_simcse_counts() -> None:
    subsets = load_geometry(str(DATA / "senteval"))
    row = distinct([sentences for subset in subsets for sentences in (subset.left, subset.right)])
    score = geometry_of(Bank(row, units(len(row))), subsets)
    assert (score.positives, score.sentences) == (1491, 15455)
