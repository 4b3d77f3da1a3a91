"""Grafana's dashboard is what its code builds, and Prometheus answers each of its queries about a real run."""

import json
import shutil
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from nlcse_tune.launch.dashboard import Dashboard
from nlcse_tune.launch.prometheus import Prometheus, collecting
from nlcse_tune.launch.spec import Resources, RunSpec
from nlcse_tune.study import Study
from tests.launch.test_shown import LONG, UntilSeen, spec_of

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy" / "grafana" / "nlcse-tune.json"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="needs the checkout")
GPU = "ray_nlcse_gpu_memory_bytes"  # which a run on a CPU does not have


def queries(study: str = ".+") -> dict[str, str]:
    """Of each panel, by its title."""
    panels = json.loads(FILE.read_text())["panels"]
    return {panel["title"]: target["expr"].replace("$study", study) for panel in panels for target in panel["targets"]}


def test_the_dashboard_is_what_its_code_builds() -> None:
    from deploy.grafana import build

    assert FILE.read_text() == build.build(), "run `python -m deploy.grafana.build`"


def test_every_gauge_of_runs_is_on_the_dashboard() -> None:
    from nlcse_tune.launch.metrics import BEST, OF_RUNS, RUNS

    shown = " ".join(queries().values())
    assert [name for name in (*OF_RUNS, RUNS[0], BEST[0]) if f"ray_{name}{{" not in shown] == []


def answer(prometheus: Prometheus, query: str) -> list[dict[str, Any]]:
    """The series that Prometheus knows now."""
    url = f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=60) as got:
        found: list[dict[str, Any]] = json.load(got)["data"]["result"]
    return found


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (Debian: apt install prometheus)")
@pytest.mark.usefixtures("ray_session")
def test_prometheus_answers_each_query_about_a_run_and_forgets_it_once_it_has_ended(
    tiny_study: Study, tmp_path: Path
) -> None:
    import ray
    import torch

    from nlcse_tune.launch.events import Audience
    from nlcse_tune.launch.metrics import RunCounts
    from nlcse_tune.launch.pool import Pool

    spec = spec_of(tiny_study, tmp_path, 1, name="asked", **LONG)  # Ray still shows the last runs of other tests' demo
    asked = queries(study="asked").items()
    wanted = {title: query for title, query in asked if GPU not in query or torch.cuda.is_available()}
    answers: dict[str, list[dict[str, Any]]] = {}

    with collecting(Dashboard(f"http://{ray._private.worker.get_dashboard_url()}")) as prometheus:

        def seen(spec: RunSpec) -> bool:
            prometheus.follow()  # a Ray that has just begun knows no addresses yet
            time.sleep(1)  # the run waits meanwhile, and what it said stands
            answers.update({title: found for title, query in wanted.items() if (found := answer(prometheus, query))})
            return answers.keys() == wanted.keys()

        pool = Pool(Resources(), 1, None, audience=Audience([RunCounts()]), study="asked")
        pool.run(UntilSeen([spec], seen), tmp_path / "ray")
        assert sorted(wanted.keys() - answers.keys()) == []
        (dev,), (time_left,) = answers["Dev score"], answers["Time left"]
        assert dev["metric"] == time_left["metric"] == {"label": spec.label}
        assert float(time_left["value"][1]) > 0
        assert {one["metric"]["state"]: one["value"][1] for one in answers["Runs by state"]}["running"] == "1"
        until = time.monotonic() + 300
        while (left := answer(prometheus, wanted["Dev score"])) and time.monotonic() < until:
            time.sleep(1)
        assert left == []
