"""`--submit`: a command as a job of a Ray cluster, which runs on its head and needs nobody to wait for it.

The package and the YAML files that the study is made of travel with it; data do not.
"""

import logging
import os
import re
import shlex
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcse_tune.errors import RunError, first_line, verbose
from nlcse_tune.launch import cluster  # noqa: F401 # sets Ray's environment before ray's import
from nlcse_tune.launch.dashboard import Dashboard, headers_for_ray
from nlcse_tune.study import Kind, folders, rests_on

from ray.job_submission import JobSubmissionClient  # isort: skip

PACKAGE = Path(__file__).parents[1]
if not verbose():  # Ray's client tells of every step
    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.ERROR)
    logging.getLogger("ray._private.runtime_env.packaging").setLevel(logging.ERROR)
AGENT_WITHIN = 120.0  # seconds
KINDS: tuple[Kind, ...] = ("studies", "search_spaces")


@dataclass(frozen=True)
class Job:
    """A job that was submitted."""

    name: str
    dashboard: Dashboard


def submit(words: Sequence[str], study: Path, space: Path | None, name: str, dashboard: Dashboard) -> Job:
    """Hands `nlcse-tune WORDS` to the cluster; RunError where it does not take it."""
    job = f"{re.sub('[^A-Za-z0-9_-]', '-', name)}-{uuid.uuid4().hex[:8]}"
    python, address = head_of(dashboard)
    entrypoint = shlex.join([python, "-m", "nlcse_tune", *words, "--address", address])
    metadata = {"study": name, "command": shlex.join(["nlcse-tune", *words])}
    with tempfile.TemporaryDirectory(prefix="nlcse-job-") as folder:
        pack(Path(folder), study, space)
        try:
            with _no_other_address():
                client = JobSubmissionClient(dashboard.url, headers=headers_for_ray())
            asked: dict[str, Any] = {"submission_id": job, "runtime_env": {"working_dir": folder}, "metadata": metadata}
            _once_there_is_an_agent(lambda: client.submit_job(entrypoint=entrypoint, **asked))
        except Exception as error:  # Ray raises bare ones, and those of its HTTP client
            why = first_line(error)
            raise RunError(f"{dashboard.url}: did not take the job: {why}; see whether its Ray is up") from error
    return Job(job, dashboard)


def _once_there_is_an_agent(submit_job: Callable[[], Any]) -> None:
    """Tries until the agent of the head, which starts jobs, is up: it comes some seconds after the dashboard."""
    until = time.monotonic() + AGENT_WITHIN
    while True:
        try:
            submit_job()
            return
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(1)


@contextmanager
def _no_other_address() -> Iterator[None]:
    """Ray's client takes the environment's address, where there is one, in the place of the one that it is given."""
    kept = {name: os.environ.pop(name) for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def pack(folder: Path, study: Path, space: Path | None) -> None:
    """Makes the working folder of a job: the package, all that it ships, and the YAML files of this study."""
    package = folder / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "_shipped"))
    for each in KINDS:
        shutil.copytree(folders(each)[-1], package / "_shipped" / each)
        (folder / each).mkdir()
    files = rests_on(study)
    if space is not None:
        files.append(("search_spaces", space))
    for kind, file in files:
        if file.parent.resolve() != folders(kind)[-1].resolve():
            shutil.copy(file, folder / kind / file.name)


def head_of(dashboard: Dashboard) -> tuple[str, str]:
    """The Python that runs Ray on the cluster's head, and the cluster's address there; RunError where it does not tell.

    A job's command is run by a shell, whose path need not lead to the environment that Ray was started from; and `auto`
    means whatever Ray the job finds first on the head, where there may be several.
    """
    said, until = "", time.monotonic() + AGENT_WITHIN
    while not said and time.monotonic() < until:  # a head tells of itself some seconds after its dashboard is up
        nodes: list[dict[str, Any]] = dashboard.get("/nodes?view=summary")["data"]["summary"]
        heads = [node for node in nodes if node.get("raylet", {}).get("isHeadNode")]
        said = " ".join(word for node in heads for word in node.get("cmdline") or ())
        time.sleep(0 if said else 1)
    python = re.search(r"--python_worker_command=(\S+)", said)
    address = re.search(r"--gcs-address=(\S+)", said)
    if python is None or address is None:
        raise RunError(f"{dashboard.url}: does not tell how its head runs Ray; see whether it has a head that is up")
    return python[1], address[1]
