"""Exported folders give sentence-transformers the embeddings that this tool's own evaluation sees."""

import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from nlcse_tune.cli.main import export
from nlcse_tune.config import EncoderConfig, Pooler
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, RunError, StorageError
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.export.folder import export_run
from nlcse_tune.files import locked
from nlcse_tune.models.encoder import build_encoder, load_encoder, save_encoder
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import RunRecord, TestRecord, run_id
from nlcse_tune.records.scores import TaskScore
from nlcse_tune.run import run_one
from nlcse_tune.training.checkpoint import Checkpoints
from nlcse_tune.training.context import RunContext
from nlcse_tune.versions import versions
from tests.models.tiny import checkpoint
from tests.training.tiny import IMAGES, SEED, tiny

torch.set_num_threads(1)
SENTENCES = ["the dog carries a ball", "near the harbor a thief hides a lamp", "stone", "a " * 300]


def saved(folder: Path, source: Path, pooler: Pooler, *, supervised: bool) -> Path:
    """A checkpoint as a run leaves it."""
    torch.manual_seed(1)
    config = EncoderConfig(checkpoint=str(source), pooler=pooler)
    save_encoder(build_encoder(config, supervised=supervised), folder)
    return folder


def own_embeddings(folder: Path) -> np.ndarray:
    encoder = load_encoder(folder)
    batch = encoder.tokenizer(
        SENTENCES, padding=True, truncation=True, max_length=encoder.max_length, return_tensors="pt"
    )
    with torch.no_grad():
        return encoder.embed(batch["input_ids"], batch["attention_mask"]).numpy()


CASES = [(pooler, False) for pooler in get_args(Pooler)] + [("cls", True)]


@pytest.mark.parametrize(("family", "layers"), [("bert", 3), ("roberta", 2), ("bert", 1)])
@pytest.mark.parametrize(("pooler", "supervised"), CASES)
def test_sentence_transformers_gives_the_same_embeddings(
    pooler: Pooler, supervised: bool, family: str, layers: int, tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    from sentence_transformers import SentenceTransformer

    source = checkpoint(family, tmp_path_factory, num_hidden_layers=layers)
    folder = saved(tmp_path / "checkpoint", source, pooler, supervised=supervised)
    to = export_run(str(folder), tmp_path / "exported")
    expected = own_embeddings(folder)
    with caplog.at_level(logging.WARNING):
        model = SentenceTransformer(str(to), device="cpu")
    assert not caplog.records  # nothing made up, nothing deprecated
    np.testing.assert_allclose(model.encode(SENTENCES), expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.01
    assert model.max_seq_length == load_encoder(folder).max_length
    again = load_model(str(to)).encoder
    assert again.max_length == load_encoder(folder).max_length


FRESH = """
import socket, sys
def refuse(*arguments): raise SystemExit("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np
from sentence_transformers import SentenceTransformer
np.save(sys.argv[2], SentenceTransformer(sys.argv[1], device="cpu").encode(sys.argv[3:]))
"""


def test_a_fresh_process_loads_it_without_this_tool_and_without_network(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = checkpoint("bert", tmp_path_factory, num_hidden_layers=3)
    folder = saved(tmp_path / "checkpoint", source, "cls", supervised=True)
    to, answer = export_run(str(folder), tmp_path / "exported"), tmp_path / "vectors.npy"
    (to / "nlcse_pooling.json").unlink()
    subprocess.run([sys.executable, "-c", FRESH, str(to), str(answer), *SENTENCES], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(answer), own_embeddings(folder), atol=1e-5, rtol=0)


def finished_run(out: Path) -> tuple[RunRecord, RunPaths]:
    config = tiny({**IMAGES, "batch_size": 4}, train__max_steps=2, text__batch_size=8)
    paths = StudyPaths(out, "demo").run(run_id(config, SEED, fingerprints(config)))
    paths.folder.mkdir(parents=True)
    record = run_one(config, SEED, RunContext(paths.folder), study="demo")
    record.write(paths.record)
    return record, paths


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord, RunPaths]:
    out = tmp_path_factory.mktemp("runs")
    return out, *finished_run(out)


def test_a_run_id_is_found_and_its_card_says_what_is_known(
    run: tuple[Path, RunRecord, RunPaths], tmp_path: Path
) -> None:
    out, record, paths = run
    to = export_run(record.run_id, tmp_path / "model", out=out)
    card = (to / "README.md").read_text()
    for part in (
        "VisualCSE", "Unsupervised", f"seed {SEED}", record.run_id, record.data["text"],
        "`text.learning_rate` | `3e-05`", f"{record.best_dev:.2f}", "test scores were not measured",
        "Licence", "transformers", "SentenceTransformer(",
    ):  # fmt: skip
        assert part in card, part
    assert "license:" not in card.split("---")[1]
    test = TestRecord(
        run_id=record.run_id, opened="now", setting="all", data={}, versions=versions("cpu"), model=record.best_model,
        scores={"stsb": TaskScore(all=71.234, mean=1, wmean=1, pearson=1, pairs=1379)},
    )  # fmt: skip
    test.write(paths.test)
    card = (export_run(str(paths.folder), to, force=True) / "README.md").read_text()
    assert "| stsb | 71.23 | 1379 |" in card
    assert "Mean over" not in card  # six of the seven tasks are absent
    paths.test.unlink()


def test_a_folder_with_files_is_never_overwritten(run: tuple[Path, RunRecord, RunPaths], tmp_path: Path) -> None:
    out, record, _ = run
    to = tmp_path / "model"
    export_run(record.run_id, to, out=out)
    (to / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="is not empty"):
        export_run(record.run_id, to, out=out)
    export_run(record.run_id, to, out=out, force=True)
    assert not (to / "mine.txt").exists()
    assert not list(tmp_path.glob(".*"))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="does not replace it"):
        export_run(record.run_id, precious, out=out, force=True)
    with pytest.raises(ConfigError, match="is a file"):
        export_run(record.run_id, precious / "mine.txt", out=out)


def test_an_unknown_run_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the id of a run"):
        export_run("nothing", tmp_path / "model", out=tmp_path)


def test_a_checkpoint_without_record_has_a_card_that_says_so(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = saved(tmp_path / "checkpoint", checkpoint("bert", tmp_path_factory), "avg", supervised=False)
    card = (export_run(str(folder), tmp_path / "model") / "README.md").read_text()
    assert "No record of this run" in card


def test_the_command(run: tuple[Path, RunRecord, RunPaths], tmp_path: Path) -> None:
    out, record, _ = run
    app = typer.Typer()
    app.command()(export)
    result = CliRunner().invoke(app, [record.run_id, "--to", str(tmp_path / "model"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "SentenceTransformer(" in result.output
    assert json.loads((tmp_path / "model" / "modules.json").read_text())[0]["path"] == ""


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_models_and_restart_points_keep_the_users_umask(
    umask: int, mode: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = checkpoint("bert", tmp_path_factory)
    encoder = build_encoder(EncoderConfig(checkpoint=str(source), pooler="cls"), supervised=True)
    former = os.umask(umask)
    try:
        (tmp_path / "run").mkdir()
        checkpoints = Checkpoints(tmp_path / "run", "a run")
        checkpoints.save_best(encoder, 3)
        checkpoints.save_restart({"step": 3}, 3, 3)
        export_run(str(tmp_path / "run" / "best"), tmp_path / "exported")
    finally:
        os.umask(former)
    made = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.match("last-*.pt") for path in made)
    assert {path.name for path in made} >= {"model.safetensors", "nlcse_head.safetensors", "modules.json"}
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {oct(mode)}


@pytest.mark.parametrize("bytes_left", [20, 5000, 40_000])
def test_a_disk_that_is_full_is_one_error_whoever_writes(
    bytes_left: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Weights, tokenizer and restart point each raise an error of their own library's."""
    source = checkpoint("bert", tmp_path_factory)
    encoder = build_encoder(EncoderConfig(checkpoint=str(source), pooler="cls"), supervised=True)
    model = saved(tmp_path / "model", source, "cls", supervised=True)
    (tmp_path / "run").mkdir()
    checkpoints = Checkpoints(tmp_path / "run", "a run")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            checkpoints.save_best(encoder, 3)
        with pytest.raises(StorageError, match="cannot be written"):
            checkpoints.save_restart({"weights": encoder.state_dict()}, 3, None)
        with pytest.raises(RunError, match="choose another --to"):
            export_run(str(model), tmp_path / "exported")
        with locked(tmp_path / "lock", "the folder"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
