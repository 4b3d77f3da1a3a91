"""What all tests share: one thread, a private cache, a tiny study, one Ray for the whole session."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # pytest-xdist gives its processes one: output is as wide as that of a pipe
CHECKOUT = Path(__file__).parents[1]
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job: who is started would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The tests start dozens of processes. They import this checkout; and where the environment forbids Python its byte
# code, each would compile torch, transformers and ray anew, 12 CPU seconds a Ray trial in place of 5: here it lies out
# of the sources' way.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(CHECKOUT / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

from nlcse_tune.config import RunConfig  # noqa: E402
from nlcse_tune.config.fields import override  # noqa: E402
from nlcse_tune.study import Study, find_study  # noqa: E402
from tests.s3_server import KEYS, S3Server  # noqa: E402

os.environ.update(KEYS)  # for the workers of the session's Ray too
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

CPUS = 2  # of the session's Ray: the fewest on which runs overlap, and one run can have two workers
TINY = {
    "encoder.scratch.hidden_size": 16,
    "text.batch_size": 32,
    "side.batch_size": 4,
    "train.max_steps": 4,
    "train.eval_every": 2,
}


@pytest.fixture(scope="session")
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tests derive from data, each once a session: its name is all that it hangs on."""
    return tmp_path_factory.mktemp("derived")


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, derived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache := tmp_path.with_name(f"{tmp_path.name}-cache")).mkdir()  # beside what a test may list
    for kind in ("tokens", "tokenizers", "image", "audio"):
        (derived / kind).mkdir(exist_ok=True)
        (cache / kind).symlink_to(derived / kind, target_is_directory=True)
    monkeypatch.setenv("NLCSE_CACHE", str(cache))
    monkeypatch.setenv("NLCSE_DATA", "")  # put back at the end, whatever `--data` makes of it


@pytest.fixture
def tiny_study() -> Study:
    """The demo study at its smallest: 16-wide, four steps, four images a batch."""
    return find_study("demo").with_overrides(TINY)


@pytest.fixture
def tiny_config(tiny_study: Study) -> RunConfig:
    return tiny_study.config


@pytest.fixture
def tiny_simcse(tiny_config: RunConfig) -> RunConfig:
    return override(tiny_config, {"side": None})


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server on loopback."""
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for the session (a start costs 15 s); every run at a time is a process that first imports torch."""
    from nlcse_tune.launch import cluster  # sets the environment before ray is imported

    import ray  # isort: skip

    with cluster._agents_ports_known():  # Ray's own, 52365 for the agent that starts jobs, another Ray may have
        ray.init(
            address="local", num_cpus=CPUS, log_to_driver=False, logging_level="ERROR", include_dashboard=True,
            object_store_memory=cluster.OBJECT_STORE_BYTES, runtime_env={"env_vars": cluster.ENVIRONMENT},
        )  # fmt: skip
    yield
    ray.shutdown()
