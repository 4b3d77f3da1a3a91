"""A run's log: each attempt, dev evaluation, warning and error, and nothing left behind in the process."""

import logging
import re
import warnings
from pathlib import Path

import pytest

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.launch.worker import run_here
from nlcse_tune.records import RunRecord
from tests.launch.test_events import spec_of


def test_a_log_tells_of_every_attempt(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec = spec_of(override(tiny_config, {"train.checkpoint_every": 1}), tmp_path)
    library = logging.getLogger("a.library")
    library.propagate = False  # as transformers' and others'
    before = list(logging.root.handlers), warnings.showwarning

    def report(record: RunRecord | None) -> None:
        library.warning("weights %s", "missing")
        with warnings.catch_warnings(record=False):
            warnings.warn("deprecated since long", FutureWarning, stacklevel=1)
        raise KeyboardInterrupt

    for _ in range(2):  # a process that is used again says its warnings again
        with pytest.raises(KeyboardInterrupt), pytest.warns(FutureWarning):
            run_here(spec, report)
        first = spec.paths.log.read_text()
    assert (list(logging.root.handlers), warnings.showwarning) == before
    assert library.handlers == []

    record = run_here(spec, lambda record: None)
    text = spec.paths.log.read_text()
    assert text.startswith(first)
    assert len(re.findall(r"^\S+ tiny seed 1 \(\S+-s1\) on \S+, process \d+, cpu, \d+ threads$", text, re.M)) == 3
    assert "torch " in text.splitlines()[1]
    assert len(re.findall(r"warning by a.library: weights missing", text)) == 2
    assert len(re.findall(r"warning: FutureWarning: deprecated since long", text)) == 2
    assert text.count("interrupted") == 2
    assert f"dev {record.dev_before:.2f} before training" in text
    for point in record.dev_curve:
        assert f"step {point.step}: dev {point.score:.2f}, text loss " in text
    assert "continued from step " in text
    assert f"completed at step 4 of 4; best dev {record.best_dev:.2f}" in text.splitlines()[-1]


def test_an_error_leaves_its_traceback(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec = spec_of(tiny_config, tmp_path)

    def report(record: RunRecord | None) -> None:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        run_here(spec, report)
    text = spec.paths.log.read_text()
    assert "ended in an error: ValueError\nTraceback (most recent call last):" in text
    assert text.rstrip().endswith("ValueError: no such thing")


def test_a_log_that_cannot_be_written_ends_no_run(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec = spec_of(tiny_config, tmp_path)
    spec.paths.log.parent.parent.mkdir(parents=True)
    spec.paths.log.parent.write_text("a file in the place of the folder")
    assert run_here(spec, lambda record: None).status == "completed"
