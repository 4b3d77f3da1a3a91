"""run_one as a whole: eight combinations, repeatable in any process, and golden losses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nlcse_tune.cli.show import outcome
from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data import synthetic
from nlcse_tune.data.modalities import load_side
from nlcse_tune.errors import ConfigError, DataError, RunError
from nlcse_tune.export.folder import export_run
from nlcse_tune.models.encoder import load_encoder
from nlcse_tune.records import RunRecord
from nlcse_tune.run import run_one
from nlcse_tune.study import find_study
from nlcse_tune.training.context import RunContext, StopRun
from nlcse_tune.versions import NUMERICS
from tests.models.tiny import checkpoint
from tests.training.tiny import AUDIO, IMAGES, SEED, tiny

torch.set_num_threads(1)

# (text loss, side loss) by step of the run below. If this fails, a run at the same seed gives other numbers than
# before: raise `records.NUMERICS`, which is part of every run's id, and write the new values and version here.
GOLDEN_NUMERICS = "2"
GOLDEN: dict[str, list[tuple[float, float | None]]] = {
    "None": [(3.708462, None), (3.265139, None), (3.105570, None)],
    "image": [(3.708462, 0.771242), (3.265192, 0.67036), (3.105617, 0.748402)],
    "audio": [(3.708462, 2.079705), (3.265079, 1.820708), (3.105603, 1.725192)],
}


@pytest.mark.parametrize("side", [None, "image", "audio"], ids=str)
def test_golden_losses(side: str | None, tmp_path: Path) -> None:
    losses = {"image": {**IMAGES, "batch_size": 6}, "audio": {**AUDIO, "batch_size": 6, "loss": "simclr"}}
    config = tiny(losses.get(str(side)), train__max_steps=3, train__eval_every=1, text__learning_rate=1e-3)
    record = run_one(config, SEED, RunContext(tmp_path))
    assert NUMERICS == GOLDEN_NUMERICS, "write the losses of the new numerics here"
    got = [(point.text_loss, point.side_loss) for point in record.dev_curve]
    message = "the numbers of a run changed: raise records.NUMERICS, then write the new losses here"
    assert len(got) == len(GOLDEN[str(side)])
    for point, expected in zip(got, GOLDEN[str(side)], strict=True):
        for loss, golden in zip(point, expected, strict=True):
            assert loss == (golden if golden is None else pytest.approx(golden, rel=1e-4)), message


COMBINATIONS = [
    (m, o, f) for m in ("image", "audio") for o in ("unsupervised", "supervised") for f in ("bert", "roberta")
]


@pytest.mark.parametrize(("modality", "objective", "family"), COMBINATIONS)
def test_each_method_objective_and_family_trains_three_steps_and_exports(
    modality: str, objective: str, family: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from sentence_transformers import SentenceTransformer

    side = {**(IMAGES if modality == "image" else AUDIO), "batch_size": 4}
    source = checkpoint(family, tmp_path_factory)
    changes: dict[str, Any] = {"encoder__checkpoint": str(source), "text__objective": objective, "text__batch_size": 8}
    config = tiny(side, train__max_steps=3, train__eval_every=2, **changes)
    record = run_one(config, SEED, RunContext(tmp_path / "run"))
    assert record.config.method == {"image": "VisualCSE", "audio": "AudioCSE"}[modality]
    assert (record.steps, [point.step for point in record.dev_curve]) == (3, [2, 3])
    assert all(point.side_loss is not None for point in record.dev_curve)
    model = SentenceTransformer(str(export_run(str(tmp_path / "run"), tmp_path / "exported")), device="cpu")
    encoder = load_encoder(tmp_path / "run" / "best")
    batch = encoder.tokenizer(["the dog carries a ball", "stone"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = encoder.embed(batch["input_ids"], batch["attention_mask"])
    got = torch.from_numpy(model.encode(["the dog carries a ball", "stone"]))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    start = load_plain_weights(source)
    trained = load_plain_weights(tmp_path / "run" / "best")
    assert any(not torch.equal(start[name], trained[name]) for name in trained)


def test_a_run_is_judged_by_the_dev_set_of_its_language(tmp_path: Path) -> None:
    """Embedded pairs in a file of their own, and the same with gold scores turned round, as another language."""
    left, right, gold = zip(*synthetic.sts_pairs("dev"), strict=True)
    (folder := tmp_path / "stsb_multi_mt").mkdir()
    for language, scores in (("de", gold), ("fr", [5 - score for score in gold])):
        rows = zip(left, right, scores, strict=True)
        (folder / f"stsb-{language}-dev.csv").write_text("".join(f'"{a}","{b}",{score}\n' for a, b, score in rows))
    base = tiny(train__max_steps=1, train__eval_every=1)
    english = run_one(base, SEED, RunContext(tmp_path / "en"))
    records = {}
    for language in ("de", "fr"):
        config = override(base, {"eval.data": str(tmp_path / "senteval"), "eval.language": language})
        records[language] = run_one(config, SEED, RunContext(tmp_path / language))
    assert records["de"].best_dev == english.best_dev  # without any English set there
    assert records["fr"].best_dev == pytest.approx(-english.best_dev)  # type: ignore[operator]
    assert len({record.configuration for record in (english, *records.values())}) == 3
    with pytest.raises(DataError, match=r"stsb-ru-dev.csv: not found.*languages there: de, fr"):
        run_one(override(config, {"eval.language": "ru"}), SEED, RunContext(tmp_path / "ru"))


@pytest.mark.parametrize("study", ["demo-simcse", "demo", "demo-audiocse"])
def test_training_raises_dev_clearly(study: str, tmp_path: Path) -> None:
    """The embedded default learns: +30 points at least (it was +57 for these seeds and studies)."""
    config = find_study(study).with_overrides({} if study == "demo-simcse" else {"side.batch_size": 2}).config
    record = run_one(config, 1, RunContext(tmp_path))
    assert record.dev_before is not None
    assert record.best_dev is not None
    assert record.best_dev > record.dev_before + 30


def load_plain_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


SCRIPT = """
import sys, json, torch
torch.set_num_threads(1)
from pathlib import Path
from nlcse_tune.config import RunConfig
from nlcse_tune.run import run_one
from nlcse_tune.training.context import RunContext
record = run_one(RunConfig.model_validate_json(sys.argv[1]), 3, RunContext(Path(sys.argv[2])))
Path(sys.argv[2], "record.json").write_text(record.model_dump_json(exclude={"timings", "started", "finished"}))
"""


@pytest.mark.slow
def test_the_same_run_in_two_processes_gives_the_same_record(tmp_path: Path) -> None:
    """Fresh processes with different hash seeds: nothing may hang on the order of a set or a hash map."""
    config = tiny({**IMAGES, "batch_size": 4}, train__max_steps=4, train__loader_threads=2).model_dump_json()
    children = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": str(ord(name)), "NLCSE_CACHE": str(tmp_path / name / "cache")}
        command = [sys.executable, "-c", SCRIPT, config, str(tmp_path / name)]
        children.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for child in children:
        _, errors = child.communicate(timeout=500)
        assert child.returncode == 0, errors
    first, second = (json.loads((tmp_path / name / "record.json").read_text()) for name in ("a", "b"))
    assert first == second
    weights = [load_plain_weights(tmp_path / name / "best") for name in ("a", "b")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_that_is_stopped_keeps_its_best_model_and_says_why(tmp_path: Path) -> None:
    def stop(record: RunRecord | None) -> None:
        raise StopRun("enough")

    record = run_one(tiny(train__max_steps=4), SEED, RunContext(tmp_path / "run", report=stop))
    assert (record.status, record.steps, record.events) == ("stopped", 2, ("enough",))
    assert load_encoder(tmp_path / "run" / "best")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["best", "best-000002"]


def test_a_side_that_teaches_nothing_is_among_the_runs_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny({**IMAGES, "batch_size": 4, "loss": "supcon"}, train__max_steps=4)
    assert run_one(config, SEED, RunContext(tmp_path / "two")).events == ()
    side = load_side(config.side)  # type: ignore[arg-type]
    side.labels[:] = 0
    monkeypatch.setattr("nlcse_tune.run.load_side", lambda config: side)
    record = run_one(config, SEED, RunContext(tmp_path / "one"))
    assert record.events == ("the side loss was 0.0000 at every evaluation: the side taught nothing",)
    assert outcome(record).endswith(f"; {record.events[0]}")


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"text loss is nan by step .*lower text\.learning_rate"):
        run_one(tiny(text__learning_rate=1e30, train__eval_every=3), SEED, RunContext(tmp_path))


def test_fp16_on_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        run_one(tiny(train__precision="fp16"), SEED, RunContext(tmp_path))


def test_bf16_trains_and_stays_near_fp32(tmp_path: Path) -> None:
    def losses(config: RunConfig, name: str) -> RunRecord:
        return run_one(config, SEED, RunContext(tmp_path / name))

    full = tiny({**IMAGES, "batch_size": 4}, train__max_steps=3, train__eval_every=1)
    fp32, bf16 = losses(full, "fp32"), losses(override(full, {"train.precision": "bf16"}), "bf16")
    for a, b in zip(fp32.dev_curve, bf16.dev_curve, strict=True):
        assert b.text_loss == pytest.approx(a.text_loss, rel=0.01)
        assert b.side_loss == pytest.approx(a.side_loss, abs=0.02)
