"""`train --profile`: a trace of a few steps, and a table of where their time goes.

Steps 20 to 30 of an attempt, or the last part of a shorter one. What is asked for is labelled in training/steps.py and
training/loop.py by `torch.profiler.record_function`, which costs microseconds where nobody profiles. Nothing of it
touches a run's numbers.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from nlcse_tune.files import stored, write_text, writing
from nlcse_tune.training.context import Progress

FIRST, LAST = 20, 30  # steps of an attempt
PARTS = ("data", "forward", "loss", "backward", "optimizer")  # of each half
EVALUATION = "evaluation"
LABEL = re.compile(rf"(text|side[.\d]*): ({'|'.join(PARTS)})")
# What an operator or kernel is, by the first pattern that its name has.
FAMILIES = {
    "attention kernels": r"scaled_dot_product|flash|fmha|attention|attn",
    "matrix products": r"mm\b|bmm|addmm|gemm|linear|conv|cutlass|cublas|xmma|mkldnn",
    "optimizers and clipping": r"adam|foreach|addcdiv|addcmul|lerp|linalg_vector_norm|multi_tensor",
    "dropout and masks": r"dropout|random|bernoulli|where|keep|philox|mask|aten::(ge|lt|gt)\b",
    "norms and softmax": r"layer_norm|softmax|LayerNorm",
    "activations": r"gelu|tanh|relu",
    "copies and fills": r"copy|Memcpy|Memset|cat\b|clone|contiguous|aten::to\b|_to_|zero|fill|index|embedding|empty",
    "sums and products by element": r"aten::(add|mul|div|sub|sum|mean|neg|pow|sqrt|exp)|elementwise|reduce",
}
OTHER = "other"


class Row(NamedTuple):
    """A line of the table: milliseconds a step."""

    name: str
    milliseconds: float


def window(first: int, total: int) -> tuple[int, int]:
    """The steps to trace of those from `first` to `total`, both counted: 20 to 30 of them, else the last third."""
    steps = total - first + 1
    if steps >= LAST:
        return first + FIRST - 1, first + LAST - 1
    return first + 2 * steps // 3, total


class StepProfile:
    """Called after each step, as `RunContext.stepped`; writes the trace and the table into `folder` once."""

    def __init__(self, trace: Path, table: Path) -> None:
        self.trace, self.table = trace, table
        self.profiler: Any = None
        self.steps: tuple[int, int] | None = None

    def __call__(self, progress: Progress) -> None:
        self.steps = self.steps or window(progress.step, progress.total)
        first, last = self.steps
        if progress.step == max(first - 1, 1) and self.profiler is None:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else its notes stand between ours
            self.profiler = profile(activities=_activities())
            self.profiler.start()
        elif self.profiler is not None and progress.step == last:
            _wait()
            self.profiler.stop()
            self._write(progress)
            self.profiler = None

    def _write(self, progress: Progress) -> None:
        with writing(self.trace):
            self.trace.parent.mkdir(parents=True, exist_ok=True)
            self.profiler.export_chrome_trace(str(self.trace))
        stored(self.trace)
        assert self.steps is not None
        write_text(self.table, "\n".join(table_of(self.profiler.key_averages(), self.steps, progress)) + "\n")


def _activities() -> list[ProfilerActivity]:
    device = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *device]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def table_of(events: Sequence[Any], steps: tuple[int, int], progress: Progress) -> Iterator[str]:
    """The table's lines: by part, then by family of kernels; at most 80 columns."""
    first, last = steps
    count = last - first + 1
    on_gpu = any(event.device_type.name != "CPU" for event in events)
    yield f"steps {first} to {last} of {progress.total}, the profiler's own cost in them"
    yield ""
    parts = _parts(events, count)
    yield from _lines("part" + " (host's time)" * on_gpu, parts)
    yield ""
    yield from _lines("kernels on the GPU" if on_gpu else "operators on the CPU", _families(events, count, on_gpu))
    seconds = progress.train_seconds + progress.evaluate_seconds
    if seconds:
        share = 100 * progress.evaluate_seconds / seconds
        yield f"\ndev evaluations so far: {share:.0f}% of the run's time ({len(progress.curve)} of them)"


def _lines(title: str, rows: Sequence[Row]) -> Iterator[str]:
    whole = sum(row.milliseconds for row in rows) or 1.0
    yield f"{title:<40}{'ms a step':>12}{'share':>8}"
    for row in rows:
        yield f"  {row.name:<38}{row.milliseconds:>12.2f}{100 * row.milliseconds / whole:>7.1f}%"


def _parts(events: Iterable[Any], count: int) -> list[Row]:
    """The labelled parts in the order of a step."""
    times = {event.key: event.cpu_time_total / 1000 / count for event in events}
    labels = filter(None, map(LABEL.fullmatch, times))
    in_order = sorted(labels, key=lambda label: (label[1] != "text", label[1], PARTS.index(label[2])))
    return [Row(name, times[name]) for name in [*(label[0] for label in in_order), EVALUATION] if name in times]


def _families(events: Iterable[Any], count: int, on_gpu: bool) -> list[Row]:
    """Time by family, the largest first; each operator's own, without what it calls."""
    times: dict[str, float] = {}
    for event in events:
        is_kernel = event.device_type.name != "CPU"
        if event.is_user_annotation or is_kernel != on_gpu or (not is_kernel and "::" not in event.key):
            continue
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        name = family(event.key)
        times[name] = times.get(name, 0.0) + spent / 1000 / count
    return sorted((Row(*item) for item in times.items()), key=lambda row: -row.milliseconds)


def family(name: str) -> str:
    """What kind of work an operator or a kernel of this name does."""
    return next((kind for kind, pattern in FAMILIES.items() if re.search(pattern, name)), OTHER)
