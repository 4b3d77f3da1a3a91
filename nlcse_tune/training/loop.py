"""The training loop, whole, on one page (Algorithm 1)."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import digest
from nlcse_tune.data.side import SideData
from nlcse_tune.data.text import TextData
from nlcse_tune.errors import RunError
from nlcse_tune.models.encoder import SentenceEncoder
from nlcse_tune.records import DevPoint, RunRecord, constant_side_loss
from nlcse_tune.training.checkpoint import Checkpoints, load_restart
from nlcse_tune.training.context import Progress, RunContext, StopRun
from nlcse_tune.training.distributed import from_leader
from nlcse_tune.training.halves import TAKE_STEP, make_halves


def train(
    encoder: SentenceEncoder,
    text: TextData,
    sides: Sequence[SideData | None],
    dev_score: Callable[[SentenceEncoder], float],
    snapshot: Callable[[Progress], RunRecord],
    config: RunConfig,
    seed: int,
    context: RunContext,
) -> Progress:
    """Trains `encoder` in place; the best dev checkpoint ends up in the run's folder.

    Every worker of a run calls this with the same arguments but for its context. `snapshot` makes the record so far,
    for whoever launched the run. Raises RunError where a loss stops being a number.
    """
    steps = config.train.epochs * (len(text) // config.text.batch_size)  # whole batches only
    steps = min(steps, config.train.max_steps or steps)
    if steps == 0:
        raise RunError(f"text.batch_size {config.text.batch_size} is more than the {len(text)} items of text.data")
    halves = make_halves(encoder, text, sides, config, seed, context, steps)
    take_step = TAKE_STEP[config.train.optimizers]
    of_run = f"{digest(config, {})}-s{seed}"
    checkpoints, progress = Checkpoints(context.folder, of_run), Progress(total=steps)
    losses = {half.name: torch.zeros((), device=context.device) for half in halves}  # sums since the last evaluation
    since = 0
    found = checkpoints.find() if context.leads else None
    restart, events = from_leader(found, context.world_size, context.device) or (None, [])
    if restart is not None:
        saved = load_restart(context.folder / restart.name, context.device, of_run)  # workers may be on other machines
        progress = Progress(**{**saved["progress"], "total": steps})
        encoder.load_state_dict(saved["encoder"])
        for half in halves:
            half.restore(saved["halves"][half.name])
        events.append(f"continued from step {progress.step}")
        losses, since = saved["losses"], saved["since"]
    elif context.leads:
        progress.dev_before = dev_score(encoder)
    progress.events += [*context.events, *events]

    try:
        with _tf32(config.train.tf32):
            while progress.step < steps:
                started = time.perf_counter()
                for name, loss in take_step(halves, progress.step).items():
                    losses[name] += loss
                progress.step += 1
                last_step = progress.step == steps

                if progress.step % config.train.eval_every == 0 or last_step:
                    means = {name: float(total) / (progress.step - since) for name, total in losses.items()}
                    progress.train_seconds += time.perf_counter() - started
                    started = time.perf_counter()
                    for name, mean in means.items():
                        if not math.isfinite(mean):
                            advice = f"lower {name}.learning_rate, or use bf16 or fp32"
                            raise RunError(f"the {name} loss is {mean} by step {progress.step}; {advice}")
                    if context.leads:
                        with torch.profiler.record_function("evaluation"):
                            score = dev_score(encoder)
                        point = DevPoint.of(progress.step, score, *means.values())
                        progress.curve.append(point)
                        if progress.best is None or score > progress.best.score:
                            progress.best = point
                            progress.best_model = checkpoints.save_best(encoder, progress.step)
                    progress.evaluate_seconds += time.perf_counter() - started
                    started = time.perf_counter()
                    losses = {name: torch.zeros_like(total) for name, total in losses.items()}
                    since = progress.step
                    context.report(snapshot(progress) if context.leads else None)

                if context.leads and not last_step and progress.step % config.train.checkpoint_every == 0:
                    state = {
                        "progress": progress.model_dump(),  # plain values: it is loaded with `weights_only`
                        "encoder": encoder.state_dict(),
                        "halves": {half.name: half.state() for half in halves},
                        "losses": losses,
                        "since": since,
                    }
                    checkpoints.save_restart(state, progress.step, progress.best.step if progress.best else None)
                    context.kept()
                progress.train_seconds += time.perf_counter() - started
                context.stepped(progress)
    except StopRun as stop:
        progress.stopped = str(stop)
    finally:
        for half in halves:
            half.close()
            progress.events += [event for event in half.events if event not in progress.events]
        if (constant := constant_side_loss(progress.curve)) is not None:
            progress.events.append(constant)
    return progress


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """TF32 products within, and the former setting after: a Ray worker may serve another run next.

    Convolutions (the patch embeddings) have a switch of their own, which torch leaves on.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
