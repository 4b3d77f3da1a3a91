"""Many runs under Ray Tune: a source says what to run next and is handed each record.

A search and a seed study are two sources over one machinery. The driver alone decides: it writes the record of a run
that is stopped early, since only it knows why.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nlcse_tune.errors import NlcseError, RunError, verbose
from nlcse_tune.files import keeper_of, write_text
from nlcse_tune.launch.cluster import OwnRay  # sets Ray's environment before ray's import
from nlcse_tune.launch.driver import Driver, NodeDeaths, Placing, RayDied, RunSource
from nlcse_tune.launch.events import Audience
from nlcse_tune.launch.joined import JoinedRay, open_ray
from nlcse_tune.launch.metrics import RunCounts
from nlcse_tune.launch.nodes import check_nodes
from nlcse_tune.launch.room import Room
from nlcse_tune.launch.shown import Naming, as_actor, spec_of
from nlcse_tune.launch.spec import Launch, Needs, Resources, RunSpec
from nlcse_tune.plugins import RECORDED
from nlcse_tune.records import Opening

import ray  # isort: skip
from ray import tune  # isort: skip

WATCHER_BYTES = 2**20
RESTARTS = 3  # of Ray in a row without any run getting further
RETRIES = 3  # fresh starts of a run whose process died; it goes on from its restart point
# Tune prints a trial's traceback as well as raising it; it lies in the trial's error.txt, and we print its last line.
logging.getLogger("ray.tune").setLevel(logging.INFO if verbose() else logging.CRITICAL)


@dataclass(frozen=True)
class Pool:
    """A cluster with room for `at_a_time` runs."""

    resources: Resources
    at_a_time: int
    dashboard: str | None
    opened: OwnRay | JoinedRay | None = None  # Ray, where this pool started or joined it
    audience: Audience = field(default_factory=Audience)
    room: Callable[[], int] | None = None  # as `at_a_time`, but asked anew: nodes of a joined cluster come and go
    study: str = ""  # what its runs are of

    def run(self, source: RunSource, storage: Path, *, then_test: bool = False, seconds: float | None = None) -> None:
        """Runs all that `source` gives; `then_test` scores each best checkpoint on the test sets.

        `storage` is for Tune alone, and cleared before and after: whoever calls holds the study's lock. After `seconds`
        everything stops; what was under way has no record and can go on from its restart point. A run whose process
        dies (preemption, out of memory) is started again up to three times. Where a Ray of our own dies it is started
        again, and the runs that were under way go on. What would befall every other run alike, a wrong configuration,
        missing data, a full disk or a bug, ends it all and is raised.
        """
        deadline = time.monotonic() + seconds if seconds is not None else None
        opening = Opening.by_this_command("seeds") if then_test else None
        driver, seen, in_vain = self._driver(source, deadline), set[tuple[str, int]](), 0
        try:
            while True:
                shutil.rmtree(storage, ignore_errors=True)
                try:
                    return self._fit(driver, storage, opening)
                except RayDied as death:
                    again = driver.unended()
                    in_vain = 0 if driver.seen - seen else in_vain + 1
                    seen |= driver.seen
                    if driver.is_over():
                        return None
                    self._start_again(str(death), in_vain)
                    driver = self._driver(source, deadline, again)
        finally:
            shutil.rmtree(storage, ignore_errors=True)

    def _driver(self, source: RunSource, deadline: float | None, again: Sequence[RunSpec] = ()) -> Driver:
        return Driver(source, deadline, self.died, again, self.audience, self.room or (lambda: self.at_a_time))

    def died(self) -> str | None:
        """The part of Ray that is dead; None while it lives, or where whoever opened it looks after it."""
        return self.opened.died() if self.opened else None

    def _start_again(self, part: str, in_vain: int) -> None:
        assert self.opened is not None
        if in_vain > RESTARTS:
            raise RunError(
                f"Ray's {part} died, the {in_vain}th time in a row that no run got any further; see whether memory is "
                "short (lower --concurrent), then give the same command again: it goes on from the records"
            )
        self.opened.revive(part)

    def _fit(self, driver: Driver, storage: Path, opening: Opening | None) -> None:
        try:
            driver.look()
            self._tuner(driver, storage, opening).fit()
        except NlcseError:
            raise
        except Exception as error:
            driver.look()  # what a dead Ray raises is no bug
            with driver.guarding():  # a folder that cannot be written Tune meets in many ways of its own
                write_text(storage / ".probe", "x" * 4096)
                (storage / ".probe").unlink()
            if driver.refusal is None:
                raise
            raise driver.refusal from error
        if driver.refusal is not None:
            raise driver.refusal
        if (keeper := keeper_of(storage)) is not None:  # what workers wrote beside records: openings of test sets
            keeper.refresh()

    def _tuner(self, driver: Driver, storage: Path, opening: Opening | None) -> tune.Tuner:
        # Not `tune.with_parameters`: that puts them into the object store, and when a node says goodbye a driver that
        # owns objects there looks for them, finds the store gone and is ended by Ray on the spot (docs/ray.md).
        trainable = partial(trial, resources=self.resources, opening=opening)
        many = self.resources.workers > 1
        # A trial that only watches its workers asks for no CPU at all: with 0.01 of one, two workers on a machine of
        # two CPUs never start (LOG.md). A request must not be empty, so it is a little memory.
        watcher: dict[str, float] = {"memory": WATCHER_BYTES}
        request = watcher if many else {"CPU": self.resources.cpus, "GPU": self.resources.gpus}
        tuning = tune.TuneConfig(
            metric="dev",
            mode="max",
            search_alg=driver,
            num_samples=-1,  # until the source has no more
            reuse_actors=not many,  # a fresh process costs 11 s a trial, mostly imports (docs/ray.md)
            trial_name_creator=lambda trial: spec_of(trial.config).title,
            trial_dirname_creator=lambda trial: spec_of(trial.config).folder_name,
        )
        running = tune.RunConfig(
            name=uuid.uuid4().hex[:12],
            storage_path=str(storage.resolve()),
            verbose=0,
            stop=driver,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[NodeDeaths(), Placing(driver), Naming()],
        )
        placed = tune.with_resources(trainable, tune.PlacementGroupFactory([request]))
        actor = as_actor(placed, self.study, reused=not many)
        return tune.Tuner(actor, tune_config=tuning, run_config=running)


@contextmanager
def open_pool(
    launch: Launch,
    audience: Audience,
    needs: Needs = Needs(),  # noqa: B008
) -> Iterator[Pool]:
    """Joins the cluster, or starts one and stops it at the end; RunError where not even one run fits on it.

    Of a cluster that is joined each node is looked at first: RunError where it cannot give what runs need.

    A Ray that this process already runs in is used and left running. `audience` is told what happens to runs, and its
    `note` when Ray has to be started again; whoever made it closes it.
    """
    study = needs.studies[0].study if needs.studies else ""
    with open_ray(launch.address, audience.note, study) as opened:
        room = Room(launch, changes=isinstance(opened, JoinedRay))
        if isinstance(opened, JoinedRay):
            check_nodes(opened, needs)
        url = ray._private.worker.get_dashboard_url()  # type: ignore[no-untyped-call]
        with audience.joined_by(RunCounts()):
            yield Pool(room.resources, room(), f"http://{url}" if url else None, opened, audience, room, study)


def trial(config: dict[str, Any], resources: Resources, opening: Opening | None) -> None:
    """One Ray Tune trial, in a process of its own: what trains is imported there and not in the driver."""
    from nlcse_tune.launch.trial import run_trial

    run_trial(RunSpec.model_validate(config["spec"], context=RECORDED), resources, opening)
