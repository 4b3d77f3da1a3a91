"""What a card makes of a step, in one table: `bash benchmarks/gpu.sh`, or this module alone; `--tiny` on a CPU.

Each row is `run_one` itself, with random weights of the real sizes, on generated text, pictures and clips (as many
tokens and pixels as the real ones; nothing is downloaded), bf16. Step: median between CUDA events after the warm-up,
data, side, text and optimizers in it. MFU: (6 N + 12 (L - 1) T D) FLOP a token over step time and the card's own rate
on an 8192^3 product; N = 12 (L - 1) D^2 + 2 D^2, since the last of L layers makes no more than keys and values of all
states. Shares: of the device's time around `load`, `gradient` less its `load`, and `update` of each half, and of an
evaluation every 125 steps. (b) is the plain loop of benchmarks/peers.py in the same process, with loader processes;
its whole last layer is not counted for it. "whole run" extrapolates to 15,626 steps and 125 evaluations. Two processes
are two of the first row on one card.
"""

import argparse
import contextlib
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from benchmarks.made import configuration, encoder_folder, flop, prepare
from benchmarks.peers import Clips, Pictures, plain_loop
from nlcse_tune.config.fields import override
from nlcse_tune.run import run_one
from nlcse_tune.training import steps as half_steps
from nlcse_tune.training.context import Progress, RunContext

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
STEPS, EVALUATIONS = 15_626, 125  # of the published run
ROWS = ("bert image", "bert audio", "roberta-large image", "roberta-large audio")


def mark() -> Any:
    """This moment: an event of the device's stream, or the clock."""
    if not CUDA:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(start: Any, end: Any) -> float:
    """Seconds, once the device is done."""
    return float(start.elapsed_time(end)) / 1000 if CUDA else float(end - start)


class Spans:
    """How long parts of each step took, by name."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[Any, Any]]] = defaultdict(list)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, each call of which is a span of `name`, with `side` or `text` in it where it has {}."""

        def timed(half: Any, *arguments: Any) -> Any:
            start = mark()
            result = function(half, *arguments)
            self.found[name.format(half.name)].append((start, mark()))
            return result

        return timed

    def seconds(self, name: str, last: int) -> float:
        """Mean of the last spans."""
        spans = self.found[name][-last:]
        return sum(between(*span) for span in spans) / max(1, len(spans))


@contextlib.contextmanager
def spans() -> Iterator[Spans]:
    """Within it, what every half does is timed."""
    found = Spans()
    patched = [
        (half_steps.TextHalf, "load", "text data"), (half_steps.SideHalf, "load", "side data"),
        (half_steps.Half, "gradient", "{}"), (half_steps.Half, "update", "optimizer of {}"),
    ]  # fmt: skip
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in patched]
    for owner, name, label in patched:
        setattr(owner, name, found.around(label, owner.__dict__[name]))
    try:
        yield found
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def rates() -> tuple[float, float]:
    """Measured here: FLOP/s of a bf16 product on random data, bytes/s of a copy (read and written)."""
    size, floats = (8192, 2**30) if CUDA else (512, 2**22)
    a, b = (torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    x = torch.randn(floats, device=DEVICE)
    y = torch.empty_like(x)
    product = typical(lambda: a @ b)
    return 2 * size**3 / product, 8 * floats / typical(lambda: y.copy_(x))


def typical(work: Callable[[], Any]) -> float:
    """Median seconds of ten calls, after three."""
    marks = []
    for _ in range(13):
        start = mark()
        work()
        marks.append((start, mark()))
    synchronise()
    return median(between(*pair) for pair in marks[3:])


def synchronise() -> None:
    if CUDA:
        torch.cuda.synchronize()


# --- what is measured -----------------------------------------------------------------------------------------------


def ours(folder: Path, row: str, steps: int, **changes: Any) -> dict[str, Any]:
    """A run of this code; seconds of a step and of an evaluation, shares, peak memory."""
    config = override(configuration(folder, row, steps), {f"train.{name}": value for name, value in changes.items()})
    marks: list[Any] = []

    def stepped(progress: Progress) -> None:
        marks.append(mark())

    with tempfile.TemporaryDirectory(dir=folder) as own, spans() as timed:
        reset_memory()
        record = run_one(config, 1, RunContext(Path(own), device=DEVICE, stepped=stepped))
        synchronise()
    pauses = {steps // 2, steps}  # evaluations come before the mark of their step
    gaps = [between(a, b) for n, (a, b) in enumerate(itertools.pairwise(marks), 2) if n not in pauses]
    step, last = median(gaps[steps // 5 :]), steps // 2
    assert record.timings is not None
    evaluation = record.timings.evaluate / len(record.dev_curve)
    parts = {name: timed.seconds(name, last) for name in list(timed.found)}
    parts["optimizers"] = sum(parts.pop(name) for name in list(parts) if name.startswith("optimizer of"))
    parts["text"] -= parts["text data"]
    parts["side"] -= parts["side data"]
    parts["eval"] = evaluation * EVALUATIONS / STEPS
    return {
        "step": step, "evaluation": evaluation, "parts": parts, "peak": peak_memory(), "events": record.events,
        "flop": flop(config, row.split()[0]), "setup": record.timings.setup,
    }  # fmt: skip


def released_way(folder: Path, row: str, steps: int) -> float:
    """Median seconds of a step of (b)."""
    config = configuration(folder, row, steps)
    assert config.side is not None
    checkpoint = encoder_folder(folder, row.split()[0])
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    sentences = (folder / "text.txt").read_text().splitlines()
    ids = [(one, one) for one in tokenizer(sentences, truncation=True, max_length=config.text.max_length)["input_ids"]]
    files = sorted((folder / config.side.modality).rglob("*.*"))
    loop = plain_loop(
        AutoModel.from_pretrained(checkpoint, add_pooling_layer=False), ids,
        (Pictures if config.side.modality == "image" else Clips)(files), text_batch=config.text.batch_size,
        side_batch=config.side.batch_size, device=DEVICE, dtype=torch.bfloat16,
        loaders=max(1, min(12, (os.cpu_count() or 2) - 2)),
    )  # fmt: skip
    marks = []
    for _ in range(steps):
        next(loop)
        marks.append(mark())
    synchronise()
    loop.close()
    return median(between(a, b) for a, b in itertools.pairwise(marks[steps // 5 :]))


def two_at_once(folder: Path, row: str, steps: int) -> list[float]:
    """Median seconds of a step of two processes that share the card."""
    words = [sys.executable, "-m", "benchmarks.gpu", "--alone", row, "--folder", str(folder), "--steps", str(steps)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return [float(json.loads(process.communicate()[0].splitlines()[-1])["step"]) for process in both]


def reset_memory() -> None:
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> float:
    """Bytes that torch held at most; 0 on a CPU."""
    return float(torch.cuda.max_memory_allocated()) if CUDA else 0.0


# --- the table ------------------------------------------------------------------------------------------------------


def line(name: str, step: float, floating: float, rate: float, extra: str, peak: float) -> str:
    return (
        f"{name:<26}{1000 * step:>9.1f}{1 / step:>9.2f}{100 * floating / step / rate:>7.1f}  {extra:>12}"
        f"{peak / 1e9:>8.1f} GB"
    )


def lines_of(row: str, folder: Path, steps: int, rate: float) -> Iterator[str]:
    """A row, the shares of its step, and (b) on the same card."""
    found = ours(folder, row, steps)
    whole = (found["step"] * STEPS + found["evaluation"] * EVALUATIONS) / 60
    yield line(row, found["step"], found["flop"], rate, f"{whole:.1f} min", found["peak"])
    total = sum(found["parts"].values())
    yield "  " + ", ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in found["parts"].items())
    for event in found["events"]:
        yield f"  {event}"
    reset_memory()
    theirs = released_way(folder, row, max(6, steps // 3))
    yield line("  (b) plain loop", theirs, found["flop"], rate, f"x {theirs / found['step']:.2f}", peak_memory())


def changed(row: str, folder: Path, steps: int, rate: float, **changes: Any) -> Iterator[str]:
    """A row again with other settings of `train`; without any, how far two measurements lie apart."""
    found = ours(folder, row, steps, **changes)
    name = ", ".join(f"{name} {value}" for name, value in changes.items()) or f"{row}, again"
    yield line(f"  {name}", found["step"], found["flop"], rate, "", found["peak"])


def shared(row: str, folder: Path, steps: int, rate: float) -> Iterator[str]:
    """A row twice at once on one card."""
    alone, both = ours(folder, row, steps)["step"], two_at_once(folder, row, steps)
    gain = sum(alone / step for step in both)
    yield f"  two processes: {' and '.join(f'{1000 * step:.1f} ms' for step in both)}, {gain:.2f} x the steps of one"


def main() -> None:
    """Prints each line as it is measured, and the table again at the end."""
    options = _options()
    if options.alone:
        print(json.dumps({"step": ours(options.folder, options.alone, options.steps)["step"]}))
        return
    began, table = time.monotonic(), []

    def say(text: str) -> None:
        table.append(text)
        print(text, flush=True)

    rate, copied = rates()
    say(f"{torch.cuda.get_device_name() if CUDA else 'CPU: times say nothing of a GPU'}, torch {torch.__version__}")
    say(f"bf16 product {rate / 1e12:.2f} TFLOP/s, copy {copied / 1e9:.0f} GB/s")
    say(f"{'':<26}{'ms/step':>9}{'steps/s':>9}{'MFU %':>7}  {'whole run':>12}{'peak':>11}")
    first, second, *others = ("tiny image", "tiny audio") if options.tiny else ROWS
    parts = [
        (first, lines_of), (second, lines_of), (first, changed), (first, shared),
        (first, partial(changed, micro_batch=16 if CUDA else 1)), *((row, lines_of) for row in others),
        (first, partial(changed, compile=True)),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="nlcse-gpu-") as folder:
        prepare(Path(folder), options.tiny)
        for row, part in parts:
            if time.monotonic() - began > 60 * options.minutes:
                say(f"{row}: left out, {options.minutes:g} minutes are over")
                continue
            try:
                for text in part(row, Path(folder), options.steps // (4 if "large" in row else 1), rate):
                    say(text)
            except KeyboardInterrupt:  # of the clock in gpu.sh
                say(f"  {row}: ended, time is over")
                break
            except Exception as error:  # the other rows are wanted all the same
                traceback.print_exc()
                say(f"  {row}: {type(error).__name__}: {str(error)[:200]}")
            reset_memory()
    print("\n" + "=" * 80 + "\n" + "\n".join(table), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny shapes: whether the script runs, not how fast")
    parser.add_argument("--steps", type=int, default=200, help="of each row; a quarter of them for a large encoder")
    parser.add_argument("--minutes", type=float, default=4.5, help="after which no row is begun")
    parser.add_argument("--alone", help="a row whose milliseconds alone are printed")
    parser.add_argument("--folder", type=Path, help="what was prepared, for --alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
