"""A cluster that others started: its token, what travels to its nodes, and what is found out before the first run."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlcse_tune.config.fields import flatten
from nlcse_tune.data.synthetic import triplets
from nlcse_tune.errors import RunError
from nlcse_tune.launch.joined import JoinedRay
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from tests.conftest import CHECKOUT, TINY
from tests.launch.nodes import Nodes, cluster


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster() as made:
        yield made


def search(nodes: Nodes, out: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A search of one tiny run that joins the cluster, in a process of its own."""
    call = [sys.executable, "-m", "nlcse_tune", "search", "demo", "--address", nodes.address, "--out", str(out)]
    fields = {**TINY, "train.precision": "fp32"}
    call += [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]
    told = {**nodes.environment(), **environment}
    call += options or ("--trials", "1")
    return subprocess.run(call, capture_output=True, text=True, env=told, timeout=500, check=False)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused search ends with."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_rays_client_is_refused_with_what_to_do() -> None:
    with pytest.raises(RunError, match=r"--address ray://there:10001: .* give --address HOST:PORT"):
        JoinedRay("ray://there:10001")


@pytest.mark.ray
@pytest.mark.slow
def test_a_head_that_asks_for_a_token_is_told_it_or_named(nodes: Nodes, tmp_path: Path) -> None:
    without = search(nodes, tmp_path, RAY_AUTH_TOKEN_PATH="", HOME=str(tmp_path))
    assert "asks for a token, and there is none here: run `ray get-auth-token`" in refusal(without)
    wrong = search(nodes, tmp_path, RAY_AUTH_TOKEN="f" * 32)
    assert "asks for a token, and the one here is not its" in refusal(wrong)
    assert search(nodes, tmp_path).returncode == 0
    (record,) = ledger(StudyPaths(tmp_path, "demo")).runs
    assert record.status == "completed"


@pytest.mark.ray
@pytest.mark.slow
def test_a_node_with_another_torch_is_named_before_the_first_run(nodes: Nodes, tmp_path: Path) -> None:
    odd = tmp_path / "odd" / "torch-1.0.dist-info"
    odd.mkdir(parents=True)
    (odd / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    path = f"{odd.parent}{os.pathsep}{CHECKOUT}"
    done = nodes.beside(lambda: search(nodes, Path(tempfile.mkdtemp(dir=tmp_path))), PYTHONPATH=path)
    said = refusal(done)
    assert "node " in said
    assert "torch is 1.0 there and " in said
    assert "[1/1]" not in done.stdout


@pytest.mark.ray
@pytest.mark.slow
def test_a_folder_of_the_same_name_that_is_another_is_found_out_and_small_inputs_travel(
    nodes: Nodes, tmp_path: Path
) -> None:
    text, hidden, out = tmp_path / "data" / "text.csv", tmp_path / "data", tmp_path / "out"
    hidden.mkdir()
    text.write_text("sent0,sent1\n" + "".join(f'"{one}","{same}"\n' for one, same, _ in triplets(400)))
    (out / "demo").mkdir(parents=True)
    mount = f"mount -t tmpfs tmpfs {hidden}"
    if subprocess.run(["unshare", "--mount", "sh", "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")
    own = ("--trials", "2", "--set", f"text.data={text}")

    hide = f"{mount} && mount -t tmpfs tmpfs {out} && mkdir {out}/demo"
    said = refusal(nodes.beside(lambda: search(nodes, out, *own), within=hide))
    assert f"{out / 'demo'} is another folder there than where the search was started: give --out" in said

    done = nodes.beside(lambda: search(nodes, out, *own), within=mount)
    assert done.returncode == 0, done.stdout + done.stderr
    records = ledger(StudyPaths(out, "demo")).runs
    assert {record.status for record in records} == {"completed"}
    assert {flatten(record.config)["text.data"] for record in records} == {str(text)}
    assert len({json.dumps(record.data) for record in records}) == 1
    hosts = [path.name for path in (out / "demo").glob(".node-*")]
    assert not hosts
