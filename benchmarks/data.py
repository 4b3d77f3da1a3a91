"""What data cost before and beside training, against the usual ways: ratios first, memory beside time.

    python -m benchmarks.data [ROW ...] [--sentences 1000000] [--part 50000] [--tokenizer FOLDER] [--rounds 5]

build    a text read, checked, tokenised and written, against a loop over `tokenizer(...)` into lists, 1,000 sentences
         at a time, as `datasets.map` calls it, and against each batch of 64 tokenised when it is needed, which costs
         that in every epoch; then the whole text, and the whole text again from the cache
start    from the imports of a later run of a search to the end of its first step, its dev evaluation before included
copies   what the token arrays of one run and of four at a time take of the machine, by /proc/PID/smaps
batches  collation of both views of 64 sentences, against transformers' DataCollatorWithPadding over lists
dev      one dev evaluation from batches made once, against one that reads, tokenises and sorts anew

Every figure is the median of the rounds; each way has a process of its own, forked once all is imported, and memory is
that process's peak above what it had then. Sentences are generated (benchmarks/generated.py). Linux only.
"""

import argparse
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import numpy as np
import torch
from transformers import AutoTokenizer, DataCollatorWithPadding, PreTrainedTokenizerBase

from benchmarks.forks import HEAD, Line, compared, in_process, rate
from benchmarks.generated import generate
from nlcse_tune.config import SCRATCH, EncoderConfig, RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data.check import check_inputs
from nlcse_tune.data.columns import TextSource
from nlcse_tune.data.text import TextData, load_text, train_tokenizer
from nlcse_tune.evaluation.sts import DevEvaluator
from nlcse_tune.models.encoder import build_encoder
from nlcse_tune.run import run_one
from nlcse_tune.training.context import Progress, RunContext

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTH, BATCH, STEPS, VIEWS = 32, 64, 300, 2


@dataclass(frozen=True)
class Work:
    """What the rows work on."""

    folder: Path  # for whatever is written
    tokenizer: str  # its folder
    rounds: int
    threads: int  # of torch

    @property
    def text(self) -> Path:
        """A sentence a line."""
        return self.folder / "text.txt"

    @property
    def part(self) -> Path:
        return self.folder / "part.txt"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def config(self) -> RunConfig:
        """A text-only run: the small real encoder and dev set where they are, else what is made on the spot."""
        model, sets = SHARED / "models" / "bert-mini-wiki", SHARED / "senteval"
        values = {
            "encoder.checkpoint": str(model) if model.is_dir() else SCRATCH,
            "text.data": str(self.text), "text.batch_size": BATCH, "text.max_length": LENGTH,
            "eval.data": str(sets) if sets.is_dir() else "synthetic",
        }  # fmt: skip
        return override(RunConfig(), values)

    def words(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self.tokenizer)

    def tokens(self) -> TextData:
        """The whole text, from the cache once it was made."""
        return load_text(TextSource(self.config.text), self.words())


def this_code(work: Work, text: Path, cache: str) -> float:
    """Seconds from a file to tokens: what a search does before its first run, then what that run does."""
    os.environ["NLCSE_CACHE"] = cache
    tokenizer, config = work.words(), override(work.config, {"text.data": str(text)})
    started = time.perf_counter()
    check_inputs([config])
    load_text(TextSource(config.text), tokenizer)
    return time.perf_counter() - started


def in_empty_cache(work: Work) -> float:
    """The same of the part, as if for the first time."""
    with tempfile.TemporaryDirectory(dir=work.folder) as cache:
        return this_code(work, work.part, cache)


def in_lists(work: Work) -> float:
    """The same by a plain loop, kept as lists."""
    tokenizer, started = work.words(), time.perf_counter()
    lines, rows = work.part.read_text(encoding="utf-8").splitlines(), []
    for start in range(0, len(lines), 1000):
        rows.extend(tokenizer(lines[start : start + 1000], truncation=True, max_length=LENGTH)["input_ids"])
    return time.perf_counter() - started


def as_needed(work: Work) -> float:
    """The same, nothing kept: 64 sentences, twice each, when their batch is made."""
    tokenizer, started = work.words(), time.perf_counter()
    lines = work.part.read_text(encoding="utf-8").splitlines()
    for start in range(0, len(lines), BATCH):
        own = lines[start : start + BATCH]
        tokenizer(own + own, truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
    return time.perf_counter() - started


def again(work: Work) -> float:
    """Seconds until a later run has its text."""
    started = time.perf_counter()
    work.tokens()
    return time.perf_counter() - started


def build(work: Work) -> Iterator[Line]:
    count, whole = (path.read_bytes().count(b"\n") for path in (work.part, work.text))
    yield Line(f"build, {count:,} sentences")
    ways = {
        "this code, into the cache": partial(in_empty_cache, work),
        "tokenizer(...), 1,000 at a time": partial(in_lists, work),
        "each batch when it is needed": partial(as_needed, work),
    }
    yield from compared(ways, work.rounds, rate(count, "sentences"))
    shutil.rmtree(work.cache, ignore_errors=True)
    cost = in_process(this_code, work, work.text, str(work.cache))
    yield Line(f"build, {whole:,} sentences, once", rate(whole, "sentences")(cost.answer), None, cost.memory)
    seconds = median(in_process(again, work).answer for _ in range(work.rounds))
    yield Line("  again, from the cache", f"{seconds:.2f} s")


def first_step(work: Work) -> float:
    """Seconds from here, where all is imported, to the end of a run's first step."""

    class Done(Exception): ...

    def stepped(progress: Progress) -> None:
        raise Done

    torch.set_num_threads(work.threads)
    started = time.perf_counter()
    with suppress(Done):
        run_one(work.config, 1, RunContext(Path(tempfile.mkdtemp(dir=work.folder)), stepped=stepped))
    return time.perf_counter() - started


def start(work: Work) -> Iterator[Line]:
    in_process(first_step, work)  # the first run of a search, whatever it finds
    costs = [in_process(first_step, work) for _ in range(work.rounds)]
    seconds, memory = (median(values) for values in zip(*costs, strict=True))
    yield Line("start: from imports to the first step", f"{seconds:.2f} s", None, memory)


def reading(work: Work, barrier: Barrier) -> None:
    """A run that has read all of its tokens, until it was looked at."""
    for column in work.tokens().columns:
        column.ids.sum(), column.offsets.sum()
    barrier.wait()
    barrier.wait()


def mapped(work: Work, runs: int) -> tuple[float, float]:
    """(RSS, PSS) in MB of the token arrays of so many runs at a time, added up."""
    context, total = get_context("fork"), np.zeros(2)
    barrier = context.Barrier(runs + 1)
    processes = [context.Process(target=reading, args=(work, barrier)) for _ in range(runs)]
    for process in processes:
        process.start()
    barrier.wait(timeout=300)
    for process in processes:
        smaps = Path(f"/proc/{process.pid}/smaps").read_text()
        for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE):
            if "/tokens/" in mapping.partition("\n")[0]:
                total += [int(kilobytes) / 1024 for kilobytes in re.findall(r"^[RP]ss: +(\d+)", mapping, re.MULTILINE)]
    barrier.wait(timeout=300)
    for process in processes:
        process.join()
    return float(total[0]), float(total[1])


def copies(work: Work) -> Iterator[Line]:
    in_process(again, work)
    yield Line("copies of the token arrays")
    sizes = {runs: mapped(work, runs) for runs in (1, 4)}
    for runs, (rss, pss) in sizes.items():
        yield Line(f"  {runs} at a time, PSS", f"(RSS {rss:,.0f} MB)", pss / sizes[1][1], pss)


def _order(data: TextData) -> np.ndarray:
    return np.random.default_rng(0).integers(len(data), size=(STEPS, BATCH))


def collated(work: Work) -> float:
    """Seconds for STEPS batches of token ids and masks."""
    data = work.tokens()
    order, started = _order(data), time.perf_counter()
    for items in order:
        data.batch(items)
    return time.perf_counter() - started


def collated_lists(work: Work) -> float:
    """The same by transformers' collator."""
    data, collator = work.tokens(), DataCollatorWithPadding(work.words())
    order, (column,) = _order(data), data.columns
    rows = {i: column.ids[column.offsets[i] : column.offsets[i + 1]].tolist() for i in order.flatten().tolist()}
    started = time.perf_counter()
    for items in order.tolist():
        collator([{"input_ids": rows[item], "attention_mask": [1] * len(rows[item])} for item in items * VIEWS])
    return time.perf_counter() - started


def batches(work: Work) -> Iterator[Line]:
    in_process(again, work)
    yield Line(f"batches of {VIEWS} x {BATCH} rows")
    ways = {"this code": partial(collated, work), "DataCollatorWithPadding, lists": partial(collated_lists, work)}
    yield from compared(ways, work.rounds, rate(STEPS, "batches"))


def evaluated(work: Work, anew: bool) -> float:
    """Seconds of a dev evaluation, a later one of its run: with batches made `anew`, or before the first."""
    torch.set_num_threads(work.threads)
    config = work.config
    tokenizer = work.words() if config.encoder.checkpoint == SCRATCH else None
    encoder = build_encoder(config.encoder, supervised=False, tokenizer=tokenizer)
    evaluator = DevEvaluator(config.eval.data, encoder)
    evaluator(encoder, "fp32")
    started = time.perf_counter()
    (DevEvaluator(config.eval.data, encoder) if anew else evaluator)(encoder, "fp32")
    return time.perf_counter() - started


def dev(work: Work) -> Iterator[Line]:
    yield Line("dev evaluation")
    ways = {"from batches made once": partial(evaluated, work, False), "made anew": partial(evaluated, work, True)}
    yield from compared(ways, work.rounds, lambda seconds: f"{1000 * seconds:,.0f} ms")


ROWS: dict[str, Callable[[Work], Iterator[Line]]] = {
    "build": build, "start": start, "copies": copies, "batches": batches, "dev": dev,
}  # fmt: skip


def write(work: Work, options: argparse.Namespace, words: str | None) -> None:
    """The text, its first part and, where it is not given, a tokenizer."""
    lines = generate(options.sentences, words)
    for path, own in ((work.text, lines), (work.part, lines[: options.part])):
        path.write_text("\n".join(own) + "\n", encoding="utf-8")
    if words is None:
        train_tokenizer((lines[:20_000],), EncoderConfig()).save_pretrained(work.folder)


def main() -> None:
    """Prints the table."""
    options = _options()
    words = options.tokenizer or (str(own) if (own := SHARED / "models" / "bert_uncased_vocab").is_dir() else None)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), words or folder, options.rounds, options.threads)
        os.environ["NLCSE_CACHE"] = str(work.cache)
        in_process(write, work, options, words)
        print(HEAD, flush=True)
        for row in options.rows or ROWS:
            for line in ROWS[row](work):
                print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default: all")
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--part", type=int, default=50_000, help="sentences of which the ways of `build` are compared")
    parser.add_argument("--tokenizer", help="its folder; default: BERT's beside the checkout, else one is made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    return options


if __name__ == "__main__":
    main()
