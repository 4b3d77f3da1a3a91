"""What is in deploy/ is read by the programs that it is for, as far as they can be had here."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import typer.main

from nlcse_tune.cli.main import app
from nlcse_tune.files import parse_yaml
from tests.conftest import TINY

DEPLOY = Path(__file__).parents[1] / "deploy"
BIN = Path(sys.executable).parent
# KubeRay 1.6's fields, of its reference; of the pods' own the cluster knows more.
JOB = {
    "entrypoint", "runtimeEnvYAML", "metadata", "jobId", "submissionMode", "shutdownAfterJobFinishes", "suspend",
    "ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "clusterSelector",
    "submitterPodTemplate", "submitterConfig", "entrypointNumCpus", "entrypointNumGpus", "entrypointResources",
    "deletionStrategy", "managedBy",
}  # fmt: skip
CLUSTER = {
    "rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs",
    "gcsFaultToleranceOptions", "headServiceAnnotations", "suspend", "managedBy",
}  # fmt: skip
HEAD = {"template", "rayStartParams", "headService", "enableIngress", "serviceType"}
WORKERS = {
    "template", "rayStartParams", "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds",
    "numOfHosts", "scaleStrategy", "suspend",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="needs the checkout")


def checked(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return found or pytest.skip(f"{name} is not installed")


def loaded(name: str) -> Any:
    """A YAML file, its anchors resolved."""
    return parse_yaml((DEPLOY / name).read_text(), where=name)


def test_the_slurm_script_is_sound() -> None:
    checked("bash", "-n", str(DEPLOY / "slurm.sh"))
    checked(tool("shellcheck"), str(DEPLOY / "slurm.sh"))


def test_the_dockerfile_is_sound_and_what_it_copies_is_there() -> None:
    checked(tool("hadolint"), str(DEPLOY / "Dockerfile"))
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    missing = [name for line in copied for name in line.split() if not (DEPLOY.parent / name).exists()]
    assert copied
    assert not missing


def test_ray_up_takes_its_cluster() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(loaded("ray-up.yaml"))
    validate_config(config)
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}
    assert not config["setup_commands"]


def test_the_ray_job_has_kuberays_fields_and_pods_that_kubernetes_takes() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    job = loaded("kuberay.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    head, groups = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert (job["apiVersion"], job["kind"], cluster["rayVersion"]) == ("ray.io/v1", "RayJob", ray.__version__)
    assert cluster["authOptions"] == {"mode": "token"}
    assert set(job["spec"]) <= JOB
    assert set(cluster) <= CLUSTER
    assert set(head) <= HEAD
    for group in groups:
        assert set(group) <= WORKERS
    for group in (head, *groups):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, **group["template"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", ["kuberay.yaml", "ray-up.yaml", "slurm.sh"])
def test_its_search_is_a_command_of_this_tool(name: str) -> None:
    text = re.sub(r"\\\n|\n#  ", " ", (DEPLOY / name).read_text()).replace('"$@"', "demo")
    (words,) = re.findall(r"nlcse-tune search ([^'\n]+)", text)
    words = re.sub(r'"\$\{\w+:-(\w+)\}"', r"\1", words)
    command = typer.main.get_command(app).commands["search"]  # type: ignore[attr-defined]
    values = command.make_context("search", words.split()).params
    assert values["address"] == "auto"
    assert values["out"]


def test_no_secret_stands_in_a_file() -> None:
    secret = re.compile(r"(?:TOKEN|KEY|SECRET|PASSWORD)\w*['\"]?\s*[:=]\s*['\"]?(?!\.\.\.)[\w/+]{8,}", re.IGNORECASE)
    found = {path.name: secret.findall(path.read_text()) for path in DEPLOY.iterdir() if path.is_file()}
    assert not any(found.values()), found


@pytest.fixture
def session() -> Iterator[Path]:
    """A folder for Ray whose name is short enough for its sockets."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_slurm_script_searches_on_one_node(tmp_path: Path, session: Path) -> None:
    """Ray's part for real; srun and scontrol are stood for. Apart from all other processes, which `ray stop` ends."""
    apart = ["unshare", "--fork", "--pid", "--mount-proc", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("needs `unshare` and the right to use it")
    stand_ins = {"srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"', "scontrol": "echo 127.0.0.1"}
    for name, script in stand_ins.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path), "OUT": str(tmp_path / "runs"),
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1", "SLURM_CPUS_PER_TASK": "2",
        "RAY_TMPDIR": str(session), "MAX_TIME": "10m",
    }  # fmt: skip
    sets = [f"--set {name}={value}" for name, value in TINY.items()]
    script = f"ip link set lo up && bash {DEPLOY / 'slurm.sh'} demo --trials 1 {' '.join(sets)}"
    for _ in range(3):  # Ray may not start on a machine at work (docs/ray.md, "Starting on a loaded machine")
        done = subprocess.run(
            [*apart, "bash", "-c", script], env=os.environ | variables, cwd=tmp_path, capture_output=True, text=True
        )
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "runs" / "demo" / "records").glob("*.json"))) == 1, done.stdout + done.stderr
    assert (tmp_path / ".ray" / "auth_token").stat().st_size
    assert not list(tmp_path.glob(".nlcse-tune-began-*"))
