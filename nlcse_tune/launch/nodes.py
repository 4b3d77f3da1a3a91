"""The nodes of a joined cluster, looked at before the first run: one error names node and reason."""

import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nlcse_tune.errors import RunError, StorageError, plural
from nlcse_tune.files import writing
from nlcse_tune.launch import travel
from nlcse_tune.launch.cluster import alive_nodes, first_line
from nlcse_tune.launch.joined import JoinedRay  # sets Ray's environment before ray's import
from nlcse_tune.launch.spec import Needs
from nlcse_tune.paths import StudyPaths

import ray  # isort: skip
from ray.exceptions import GetTimeoutError, RayTaskError  # isort: skip
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # isort: skip

LIMIT = 300.0  # seconds for all nodes' answers; the first process on a node imports torch's neighbours, on a slow disk
Answered = TypeVar("Answered")
SEEN = 15.0  # seconds that what one node writes may take to be seen by another: of a network's folder they are some


class Answer(NamedTuple):
    """What a node says."""

    problems: list[str]
    prints: list[dict[str, str]]  # of each configuration's inputs, by field
    marks: list[Path]  # files that it wrote, one in each study's folder


def check_nodes(joined: JoinedRay, needs: Needs) -> None:
    """RunError, naming node and reason, unless runs of these studies can be on every node of the cluster.

    Small inputs that a node lacks are brought to all of them: for this the cluster is joined anew.
    """
    folders = [study.folder.resolve() for study in needs.studies]  # of a node's own
    needs = replace(needs, studies=tuple(StudyPaths(folder.parent, folder.name) for folder in folders))
    wanted = [travel.prints(config, tests=needs.tests) for config in needs.configs]
    answers = _ask(needs)
    _raise(answers)
    if lacking := _lacking(needs, wanted, answers):
        _check_size(lacking)
        with tempfile.TemporaryDirectory(prefix="nlcse-") as folder:
            joined.bring([travel.pack([(field, path) for field, path, _ in lacking], Path(folder))])
        answers = _ask(needs)
        _raise(answers)
        if still := _lacking(needs, wanted, answers):
            field, path, node = still[0]
            raise RunError(f"{node}: {field} is not there as it is here, although it was sent: copy {path} there")


def ask_gpu_nodes(question: Callable[[], Answered], seconds: float) -> dict[str, Answered]:
    """What each node that has a GPU answers, by its name, all asked at once; RunError where one does not."""
    asked = {}
    for node in alive_nodes():
        if node["Resources"].get("GPU"):
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            how: Any = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": pinned}
            ask: Any = ray.remote(**how)(question)
            asked[_name(node)] = ask.remote()
    try:
        return dict(zip(asked, ray.get([*asked.values()], timeout=seconds), strict=True))
    except Exception as error:  # of Ray: a node that died, an answer that did not come; or what it raised
        raise RunError(f"{' or '.join(asked)} could not be asked for its GPUs: {first_line(error)}") from error


def _ask(needs: Needs) -> dict[str, Answer]:
    """What each node says, by its name, all asked at once; `problems` tells of those that do not answer."""
    for study in needs.studies:
        with writing(study.folder):
            study.folder.mkdir(parents=True, exist_ok=True)
    name, asked = secrets.token_hex(4), {}
    _ = needs.store  # found where the mirror is; a node has another
    for node in alive_nodes():
        pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        how: Any = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": pinned}
        ask: Any = ray.remote(**how)(examine)
        asked[ask.remote(needs, f"{name}-{node['NodeID'][:12]}")] = node
    until = time.monotonic() + LIMIT
    answers: dict[str, Answer] = {}
    try:
        for ref, node in asked.items():
            if (answer := _answer(ref, node, max(0.0, until - time.monotonic()))) is not None:
                answers[_name(node)] = answer
    finally:
        for mark in (mark for answer in answers.values() for mark in answer.marks):
            mark.unlink(missing_ok=True)
    return answers


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"


def _answer(ref: Any, node: dict[str, Any], seconds: float) -> Answer | None:
    """What a node says; None where it left meanwhile."""
    try:
        answer: Answer = ray.get(ref, timeout=seconds)
    except GetTimeoutError:
        return Answer([f"did not answer within {LIMIT:g} s: see its Ray's logs, or take it out"], [], [])
    except Exception as error:  # of Ray: a node that died, an environment that could not be made; or what it raised
        if node["NodeID"] not in {other["NodeID"] for other in alive_nodes()}:
            return None
        why = error.cause if isinstance(error, RayTaskError) else error
        return Answer([f"no run can be there: {type(why).__name__}: {str(why).strip().splitlines()[-1]}"], [], [])
    until = time.monotonic() + SEEN
    while unseen := [mark for mark in answer.marks if not mark.exists()]:
        if time.monotonic() > until:
            folder = unseen[0].parent
            return answer._replace(problems=[f"what it writes into {folder} is not seen here: {travel.SHARE}"])
        time.sleep(0.2)
    return answer


def examine(needs: Needs, name: str) -> Answer:
    """On a node: what is wrong there, what its inputs are, and a file of this name in each study's folder."""
    until = time.monotonic() + SEEN
    while (problems := travel.wrong_here(needs.studies, needs.store)) and time.monotonic() < until:
        time.sleep(0.5)
    if problems:
        return Answer(problems, [], [])
    marks = [study.folder / f".node-{name}" for study in needs.studies if needs.store is None]
    for mark in marks:
        try:
            with writing(mark):
                mark.write_text(socket.gethostname())
        except StorageError as error:
            return Answer([str(error)], [], marks)
    found = [travel.prints(travel.at_hand(config), tests=needs.tests) for config in needs.configs]
    return Answer([], found, marks)


def _raise(answers: dict[str, Answer]) -> None:
    if wrong := [f"{name}: {problem}" for name, answer in answers.items() for problem in answer.problems[:1]]:
        raise RunError(wrong[0] + (f" (and {plural(len(wrong) - 1, 'other node')})" if wrong[1:] else ""))


def _lacking(needs: Needs, wanted: Sequence[dict[str, str]], answers: dict[str, Answer]) -> list[tuple[str, Path, str]]:
    """Inputs that some node lacks or has otherwise: field, path, and the first such node."""
    missing: dict[Path, tuple[str, Path, str]] = {}
    for node, answer in answers.items():
        for config, here, there in zip(needs.configs, wanted, answer.prints, strict=True):
            for field, path in travel.paths(config).items():
                if here[field] != there.get(field):
                    missing.setdefault(path, (field, path, node))
    return list(missing.values())


def _check_size(lacking: list[tuple[str, Path, str]]) -> None:
    """RunError where what nodes lack is too much to be sent."""
    sizes = {path: sum(file.stat().st_size for file in travel.files_of(field, path)) for field, path, _ in lacking}
    if (total := sum(sizes.values())) > travel.MOST_BYTES:
        field, path, node = max(lacking, key=lambda each: sizes[each[1]])
        raise RunError(
            f"{node}: {field} is not there as it is here, and with {total / 1e6:,.0f} MB in all it is too much to be "
            f"sent (at most {travel.MOST_BYTES / 1e6:,.0f} MB): copy {path} to the same place on every node, or into a "
            "folder that all share"
        )
