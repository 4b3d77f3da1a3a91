"""A killed run goes on from its last restart point to the same final weights, and no kill leaves half a file behind."""

import errno
import os
import random
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

import nlcse_tune.run as run_module
import nlcse_tune.training.checkpoint as checkpoint_module
from nlcse_tune.config import RunConfig
from nlcse_tune.data import synthetic
from nlcse_tune.errors import StorageError
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from nlcse_tune.records import RunRecord
from nlcse_tune.run import run_one
from nlcse_tune.saved_model import file_digest
from nlcse_tune.training.checkpoint import Checkpoints, best_folder, finish, load_restart
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.steps import Half
from tests.training.tiny import IMAGES, SEED, build, tiny

WITHOUT = {"timings", "started", "finished", "events"}  # of a record: what a restart may change


def die(where: str) -> None:
    with Path(os.environ["DEATHS"]).open("a") as log:
        log.write(where + "\n")
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], None]) -> int:
    """The signal that ended a process of its own doing `work`; 0 where it came to its end."""
    if (child := os.fork()) == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the process failed by itself"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def config(data: Path, steps: int) -> RunConfig:
    """So many steps with a side, a restart point every second step, an evaluation every third."""
    side = {**IMAGES, "batch_size": 2, "learning_rate": 1e-4}
    text = {"data": str(data), "objective": "supervised", "batch_size": 16, "learning_rate": 1e-3, "warmup": 0.5}
    changes: dict[str, Any] = {f"text__{name}": value for name, value in text.items()}
    return tiny(
        side, train__epochs=9, train__max_steps=steps, train__eval_every=3, train__checkpoint_every=2, **changes
    )


def run(folder: Path, data: Path, steps: int) -> None:
    """What the user's script does: `run_one` in a folder; leaves the record and the final weights."""
    trained: dict[str, Any] = {}
    original = run_module.train

    def keeping(encoder: SentenceEncoder, *rest: Any) -> Any:
        progress = original(encoder, *rest)
        trained.update(encoder.state_dict())
        return progress

    run_module.train = keeping
    record = run_one(config(data, steps), SEED, RunContext(folder))
    torch.save(trained, folder / "final.pt")
    (folder / "record.json").write_text(record.model_dump_json())
    finish(folder, record.best_step)


def record_of(folder: Path) -> dict[str, Any]:
    return RunRecord.model_validate_json((folder / "record.json").read_text()).model_dump(mode="json", exclude=WITHOUT)


# Ways to die. Each changes this (forked) process so that it kills itself, at a chosen number of steps from its start.


def at_step(rng: random.Random, fewest: int = 3, most: int = 9) -> None:
    """In the middle of a step, after the text half or before it, after so many half-steps."""
    left = rng.randint(fewest, most)
    original = Half.step

    def step(self: Half, number: int) -> torch.Tensor:
        nonlocal left
        left -= 1
        if left < 0:
            die("step")
        return original(self, number)

    Half.step = step  # type: ignore[method-assign]


def writing_last(rng: random.Random) -> None:
    """Half of last.pt is written."""
    left, original = rng.randint(1, 2), torch.save

    def save(state: Any, stream: BinaryIO) -> None:
        nonlocal left
        original(state, stream)
        left -= 1
        if left < 0:
            stream.truncate(stream.tell() // 2)
            die("last.pt")

    checkpoint_module.torch.save = save  # type: ignore[attr-defined]


def writing_best(stage: str, rng: random.Random) -> None:
    """The best model has its weights and no tokenizer yet; or is complete, and the link still shows the former one.

    Where no better model comes, it dies at a step.
    """
    at_step(rng, 15, 24)
    original_save, original_point = checkpoint_module.save_encoder, checkpoint_module._point

    def save_encoder(encoder: SentenceEncoder, folder: Path) -> None:
        if stage == "weights":
            encoder.backbone.save_pretrained(folder)
            die(stage)
        original_save(encoder, folder)
        checkpoint_module._point = point

    def point(link: Path, folder: Path) -> None:
        if stage == "after the link":
            original_point(link, folder)
        die(stage)

    checkpoint_module.save_encoder = save_encoder  # type: ignore[assignment]


WAYS: dict[str, Callable[[random.Random], None]] = {  # in the order in which they are taken
    "weights": partial(writing_best, "weights"),
    "after the link": partial(writing_best, "after the link"),
    "step": at_step,
    "last.pt": writing_last,
    "before the link": partial(writing_best, "before the link"),
}


def check_whole(folder: Path) -> None:
    """What a kill left: whole restart points, two at most, and a link to a whole best model, or nothing yet."""
    points = list(folder.glob("last-*.pt"))
    assert len(points) <= 3  # the third last goes when the newest is in its place
    assert all(file_digest(point) == point.stem.rpartition("-")[2] for point in points)
    if (folder / "best").is_symlink():
        load_encoder(folder / "best")


@pytest.mark.parametrize(("kills", "steps"), [(6, 20), pytest.param(20, 80, marks=pytest.mark.long)])
def test_a_run_killed_again_and_again_gives_the_weights_and_record_of_the_uninterrupted_one(
    kills: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, log, whole, killed = (tmp_path / name for name in ("text.csv", "deaths", "whole", "killed"))
    data.write_text("\n".join(["sent0,sent1,hard_neg", *(",".join(row) for row in synthetic.triplets(128))]) + "\n")
    monkeypatch.setenv("DEATHS", str(log))
    whole.mkdir()
    killed.mkdir()
    assert in_child(lambda: run(whole, data, steps)) == 0

    ways = list(WAYS.values())
    for kill in range(kills):

        def work(kill: int = kill) -> None:
            ways[kill % len(ways)](random.Random(kill))
            run(killed, data, steps)

        assert in_child(work) == signal.SIGKILL
        check_whole(killed)
    deaths = log.read_text().split("\n")[:-1]
    assert len(deaths) == kills
    assert set(deaths) == set(WAYS)
    assert in_child(lambda: run(killed, data, steps)) == 0

    first, second = torch.load(whole / "final.pt"), torch.load(killed / "final.pt")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert record_of(killed) == record_of(whole)
    best = [load_encoder(folder / "best").state_dict() for folder in (whole, killed)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    record = RunRecord.model_validate_json((killed / "record.json").read_text())
    assert len(record.events) >= kills // 2  # "continued from step ..."
    names = sorted(path.name for path in killed.iterdir())
    assert names == ["best", f"best-{record.best_step:06d}", "final.pt", "record.json"]  # and no leftovers


def restart(folder: Path, step: int, best: int | None, digest: str | None = None) -> Path:
    """Writes a restart point whose best model is that of step `best`, as the loop does."""
    checkpoints = Checkpoints(folder, "run")
    checkpoints.find()
    progress = {"best": None if best is None else {"step": best}, "best_model": digest}
    checkpoints.save_restart({"progress": progress, "step": step}, step, best)
    return checkpoints.points[0].path


def find(folder: Path) -> tuple[int | None, list[str]]:
    """The step that a restart goes on from, and what it has to say."""
    path, events = Checkpoints(folder, "run").find()
    return (load_restart(path, "cpu", "run")["step"] if path else None), events


def test_a_kill_between_a_better_model_and_the_restart_point_is_undone(tmp_path: Path) -> None:
    encoder, _, _ = build(tiny())
    checkpoints = Checkpoints(tmp_path, "run")
    digest = checkpoints.save_best(encoder, 4)
    checkpoints.save_restart({"progress": {"best": {"step": 4}, "best_model": digest}, "step": 5}, 5, 4)
    checkpoints.save_best(encoder, 6)  # no restart point knows of it yet
    (tmp_path / ".last.unfinished").write_bytes(b"half")
    (tmp_path / ".best-000008.unfinished").mkdir()
    assert find(tmp_path) == (5, [])
    assert (tmp_path / "best").resolve() == best_folder(tmp_path, 4)
    point = checkpoints.points[0].path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "best-000004", point.name]
    point.unlink()
    assert find(tmp_path) == (None, [])
    assert list(tmp_path.iterdir()) == []


def test_a_copied_folder_whose_links_were_followed_is_gone_on_from(tmp_path: Path) -> None:
    encoder, _, _ = build(tiny())
    checkpoints = Checkpoints(tmp_path / "run", "run")
    checkpoints.folder.mkdir()
    digest = checkpoints.save_best(encoder, 4)
    checkpoints.save_restart({"progress": {"best": {"step": 4}, "best_model": digest}, "step": 5}, 5, 4)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)  # `best` is a folder of its own now
    assert not (copy / "best").is_symlink()
    assert find(copy) == (5, [])
    assert (copy / "best").resolve() == copy / "best-000004"
    shutil.rmtree(copy)
    shutil.copytree(tmp_path / "run" / "best-000004", copy / "best")
    assert find(copy) == (None, [])
    assert list(copy.iterdir()) == []


@pytest.mark.parametrize("harm", ["cut", "bytes", "empty", "other run"])
def test_a_damaged_restart_point_is_discarded_for_the_one_before_it(harm: str, tmp_path: Path) -> None:
    encoder, _, _ = build(tiny())
    checkpoints = Checkpoints(tmp_path, "run")
    digest = checkpoints.save_best(encoder, 4)
    checkpoints.save_restart({"progress": {"best": {"step": 4}, "best_model": digest}, "step": 5}, 5, 4)
    last = restart(tmp_path, 10, 4, digest)
    assert len(list(tmp_path.glob("last-*.pt"))) == 2
    content = bytearray(last.read_bytes())
    if harm == "cut":
        last.write_bytes(content[: len(content) // 2])
    elif harm == "bytes":
        content[len(content) // 2] ^= 1
        last.write_bytes(content)
    elif harm == "empty":
        last.write_bytes(b"")
    else:
        torch.save({"run": "another"}, last)
        last.rename(last.with_name(f"last-000010-{file_digest(last)}.pt"))
    step, (event,) = find(tmp_path)
    assert step == 5
    assert "last-000010-" in event
    assert "discarded" in event
    assert len(list(tmp_path.glob("last-*.pt"))) == 1


@pytest.mark.parametrize("fault", ["disk", "memory"])
def test_a_fault_of_the_moment_discards_nothing(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (5, 10):
        restart(tmp_path, step, None)

    def failing(*_: Any, **__: Any) -> None:
        if fault == "disk":
            raise OSError(errno.ESTALE, "Stale file handle")
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    where = "nlcse_tune.saved_model._digest" if fault == "disk" else "torch.load"
    with monkeypatch.context() as patched:
        patched.setattr(where, failing)
        with pytest.raises(StorageError if fault == "disk" else MemoryError):
            find(tmp_path)
    assert len(list(tmp_path.glob("last-*.pt"))) == 2
    assert find(tmp_path) == (10, [])


def test_a_restart_point_of_an_early_version_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"PK of an early version")
    assert find(tmp_path) == (None, [
        "restart point last.pt discarded: its bytes are not those that were written",
        "no other restart point: begun anew",
    ])  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_where_no_restart_point_is_whole_a_run_begins_anew(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        restart(tmp_path, step, None)
    points = sorted(tmp_path.glob("last-*.pt"))
    assert [point.name[:11] for point in points] == ["last-000010", "last-000015"]  # the last two are kept
    for point in points:
        point.write_bytes(b"PK\x03\x04half a zip")
    step, events = find(tmp_path)
    assert step is None
    assert len(events) == 3
    assert events[-1] == "no other restart point: begun anew"
    assert list(tmp_path.iterdir()) == []


def test_a_restart_point_whose_best_model_is_damaged_is_not_gone_on_from(tmp_path: Path) -> None:
    encoder, _, _ = build(tiny())
    checkpoints = Checkpoints(tmp_path, "run")
    checkpoints.find()
    digest = checkpoints.save_best(encoder, 4)
    checkpoints.save_restart({"progress": {"best": {"step": 4}, "best_model": digest}, "step": 5}, 5, 4)
    with torch.no_grad():
        next(encoder.backbone.parameters()).add_(1)
    digest = checkpoints.save_best(encoder, 8)
    assert sorted(path.name for path in tmp_path.glob("best-*")) == ["best-000004", "best-000008"]
    checkpoints.save_restart({"progress": {"best": {"step": 8}, "best_model": digest}, "step": 10}, 10, 8)
    assert sorted(path.name for path in tmp_path.glob("best-*")) == ["best-000004", "best-000008"]
    weights = tmp_path / "best-000008" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    step, (event,) = find(tmp_path)
    assert step == 5
    assert "model.safetensors is not the file that was written" in event
    assert (tmp_path / "best").resolve() == tmp_path / "best-000004"
    assert not (tmp_path / "best-000008").exists()


def test_a_run_with_a_damaged_restart_point_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Point by point what befell a user: killed, `last.pt` cut in half or changed, and the run failed for good."""
    data, whole = tmp_path / "text.csv", tmp_path / "whole"
    data.write_text("\n".join(["sent0,sent1,hard_neg", *(",".join(row) for row in synthetic.triplets(128))]) + "\n")
    whole.mkdir()
    assert in_child(lambda: run(whole, data, 8)) == 0
    for damaged, expected in ((1, "continued from step 2"), (2, "begun anew")):
        folder = tmp_path / f"damaged-{damaged}"
        folder.mkdir()

        def killed(folder: Path = folder) -> None:
            at_step(random.Random(0), 11, 11)  # in the sixth step: restart points of steps 2 and 4
            run(folder, data, 8)

        os.environ["DEATHS"] = str(tmp_path / "deaths")
        assert in_child(killed) == signal.SIGKILL
        for point in sorted(folder.glob("last-*.pt"))[-damaged:]:
            content = bytearray(point.read_bytes())
            content[len(content) // 2] ^= 0xFF
            point.write_bytes(content)
        assert in_child(lambda folder=folder: run(folder, data, 8)) == 0  # type: ignore[misc]
        assert record_of(folder) == record_of(whole)
        events = " | ".join(RunRecord.model_validate_json((folder / "record.json").read_text()).events)
        assert events.count("discarded") == damaged
        assert expected in events


def test_a_write_that_fails_leaves_the_former_restart_point(tmp_path: Path) -> None:
    former = restart(tmp_path, 5, None)
    checkpoints = Checkpoints(tmp_path, "run")
    checkpoints.find()
    with pytest.raises(Exception, match=r"pickle|lambda|local"):
        checkpoints.save_restart({"step": lambda: None}, 10, None)
    assert find(tmp_path) == (5, [])
    assert [path.name for path in tmp_path.iterdir()] == [former.name]
