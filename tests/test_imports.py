"""Imports run one way (DESIGN §2), held from the source and from sys.modules in a fresh process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nlcse_tune

PACKAGE = Path(nlcse_tune.__file__).parent
LIGHT = (
    "config",
    "space",
    "study",
    "paths",
    "records",
    "stats",
    "report",
    "errors",
    "files",
    "cli",
    "show",
    "launch.plan",
    "launch.spec",
)
HEAVY = ("torch", "transformers", "ray", "optuna")
TRAINING_CORE = ("data", "models", "training", "evaluation", "run")


def modules() -> dict[str, Path]:
    files = (path for path in PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(path: Path, *, at_import: bool) -> set[str]:
    """Modules that a file imports; `at_import` leaves out those inside functions and under TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree)
    if at_import:
        nodes = (
            node
            for top in tree.body
            if not isinstance(top, ast.FunctionDef | ast.ClassDef | ast.If)
            for node in ast.walk(top)
        )  # type: ignore[assignment]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def part(module: str) -> str:
    """The part of the package that a module belongs to: its first name."""
    return module.removeprefix("nlcse_tune.").split(".")[0]


def ours(path: Path) -> set[str]:
    return {part(name) for name in imported(path, at_import=False) if name.startswith("nlcse_tune.")} & {
        part(name) for name in modules()
    }


def test_ray_and_optuna_live_in_launch_alone() -> None:
    for name, path in modules().items():
        if part(name) != "launch":
            heavy = {module for module in imported(path, at_import=False) if module.split(".")[0] in ("ray", "optuna")}
            assert not heavy, f"{name} imports {heavy}"


def test_one_module_asks_optuna_and_one_shows_it() -> None:
    users = {
        name
        for name, path in modules().items()
        if any(m.split(".")[0] == "optuna" for m in imported(path, at_import=False))
    }
    assert users == {"launch.sampler", "launch.journal"}


@pytest.mark.parametrize("name", sorted(set(modules()) - {""}))
def test_direction(name: str) -> None:
    allowed = {
        "data": {"data", "config", "errors", "files", "paths"},
        "models": {"models", "config", "errors", "files", "paths", "records"},
        "training": {"training", "models", "data", "config", "errors", "files", "paths", "records"},
        "evaluation": {"evaluation", "models", "data", "config", "errors", "files", "paths", "records"},
        "stats": {"stats", "errors"},
        "run": {"data", "models", "training", "evaluation", "config", "errors", "files", "paths", "records"},
    }
    if part(name) in allowed:
        assert ours(modules()[name]) <= allowed[part(name)], name


def test_models_and_data_meet_in_steps_and_evaluation_only() -> None:
    for name, path in modules().items():
        if {"models", "data"} <= ours(path) and part(name) not in ("models", "data"):
            assert name in ("training.steps", "training.loop", "run") or part(name) in (
                "evaluation",
                "launch",
                "cli_evaluate",
            ), name


def test_training_and_evaluation_meet_in_run_only() -> None:
    for name, path in modules().items():
        if {"training", "evaluation"} <= ours(path) and part(name) != "launch":
            assert name == "run", name


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh process after `statement`."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_light_modules_load_nothing_heavy() -> None:
    statement = "\n".join(f"import nlcse_tune.{name}" for name in LIGHT if name in {part(m) for m in modules()})
    assert loaded_by(statement).isdisjoint(HEAVY)


def test_the_training_core_loads_neither_ray_nor_optuna() -> None:
    statement = "\n".join(f"import nlcse_tune.{name}" for name in sorted(modules()) if part(name) in TRAINING_CORE)
    assert loaded_by(statement).isdisjoint({"ray", "optuna"})
