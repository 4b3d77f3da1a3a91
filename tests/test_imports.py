"""Imports run one way (docs/design.md), held from the source and from sys.modules in a fresh process.

A room is a folder of the package, or a file that lies beside the folders.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nlcse_tune

PACKAGE = Path(nlcse_tune.__file__).parent
BASE = {"config", "errors", "files", "paths", "plugins"}
RECORDS = {"records", "saved_model"}
# What each room may import. A room that is not here, or an import that is not, fails.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "names": set(),
    "versions": set(),
    "paths": {"errors"},
    "saved_model": {"errors", "files", "paths"},
    "files": {"errors"},
    "storage": {"errors", "files", "paths"},
    "stats": {"errors"},
    "plugins": {"errors"},
    "config": {"errors", "files", "paths", "plugins"},
    "space": {"config", "errors", "files"},
    "published": {"config", "errors", "files", "paths"},
    "study": {"config", "errors", "files", "paths", "published", "space", "names"},
    "records": {*BASE, "names", "stats", "versions", "saved_model"},
    "data": {*BASE, "names"},
    "models": {*BASE, "saved_model"},
    "training": {*BASE, "models", "data", "records", "saved_model"},
    "evaluation": {*BASE, "names", "models", "data", *RECORDS},
    "export": {*BASE, "models", *RECORDS},
    "run": {*BASE, "data", "models", "training", "evaluation", "versions", *RECORDS},
    "launch": {*BASE, "storage", "run", "training", "evaluation", "data", "study", "versions", *RECORDS},
    "tracking": {*BASE, "names", "launch", "study", *RECORDS},
    "search": {*BASE, "names", "launch", "data", "space", "study", *RECORDS},
    "report": {*BASE, "names", "stats", "records", "space", "study"},
    "seeds": {*BASE, "launch", "evaluation", "report", "stats", "data", "study", *RECORDS},
    "reproduce": {*BASE, "data", "evaluation", "launch", "names", "published", "report", "space", "stats", "study",
                  "versions", *RECORDS},
    "cli": {*BASE, "storage", "seeds", "search", "launch", "run", "report", "evaluation", "export", "data", "records",
            "space", "study", "tracking", "stats", "names", "versions", "published", "reproduce"},
    "__main__": {"cli"},
}  # fmt: skip
LIGHT = (
    "names",
    "versions",
    "plugins",
    "config",
    "space",
    "published",
    "study",
    "paths",
    "records",
    "saved_model",
    "stats",
    "report",
    "reproduce",
    "errors",
    "files",
    "cli",
)
HEAVY = {"torch", "transformers", "ray", "optuna", "sentence_transformers", "pyarrow", "fsspec"}
HOMES = {
    "ray": {"launch"},
    "optuna": {"search"},
    "rich": {"cli", "report"},
    "matplotlib": {"cli", "report"},
    "pyarrow": {"storage", "data"},
    "fsspec": {"storage"},
    "tensorboard": {"tracking"},
    "mlflow": {"tracking"},
    "wandb": {"tracking"},
    "sentence_transformers": {"evaluation", "export"},
    "triton": {"models"},
}
MOST_LAYERS = 10


def _modules() -> dict[str, Path]:
    """Every module of the package by its name below it; the package's own face has none."""
    files = {path.relative_to(PACKAGE).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in files.items() if name.parts[-1:]}


MODULES = {name: path for name, path in _modules().items() if name != "__init__"}


def imported(path: Path) -> set[str]:
    """Modules that a file imports, those inside functions and under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def room(module: str) -> str:
    return module.removeprefix("nlcse_tune.").split(".")[0]


def ours(module: str) -> set[str]:
    """Modules of the package that one of them imports."""
    names = {name.removeprefix("nlcse_tune.") for name in imported(MODULES[module]) if name.startswith("nlcse_tune.")}
    return {name for name in names if name in MODULES} - {module}


def layers(graph: dict[str, set[str]]) -> dict[str, int]:
    """Floor of each node, 1 for those that import nothing; AssertionError, naming it, for a circle."""
    floors: dict[str, int] = {}

    def floor(node: str, above: tuple[str, ...]) -> int:
        assert node not in above, f"circle: {' -> '.join((*above[above.index(node) :], node))}"
        if node not in floors:
            floors[node] = 1 + max((floor(below, (*above, node)) for below in sorted(graph[node])), default=0)
        return floors[node]

    for node in graph:
        floor(node, ())
    return floors


@pytest.mark.parametrize("module", sorted(MODULES))
def test_each_module_imports_only_what_its_room_may(module: str) -> None:
    assert room(module) in ROOMS, f"{module}: say in ROOMS what it may import"
    strays = {name for name in ours(module) if room(name) != room(module)}
    assert {room(name) for name in strays} <= ROOMS[room(module)], strays


def test_no_two_modules_import_each_other() -> None:
    layers({module: ours(module) for module in MODULES})


def test_the_rooms_have_at_most_ten_layers() -> None:
    graph: dict[str, set[str]] = {room(module): set() for module in MODULES}
    for module in MODULES:
        graph[room(module)] |= {room(name) for name in ours(module)} - {room(module)}
    floors = layers(graph)
    assert max(floors.values()) <= MOST_LAYERS, sorted(floors.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("library", sorted(HOMES))
def test_each_library_has_its_home(library: str) -> None:
    users = {name for name, path in MODULES.items() if any(m.split(".")[0] == library for m in imported(path))}
    assert {room(name) for name in users} <= HOMES[library], users


def test_models_and_data_meet_in_a_step_and_evaluation_only() -> None:
    for module in MODULES:
        if {"models", "data"} <= {room(name) for name in ours(module)}:
            where = ("training.steps", "training.controls", "training.halves", "training.loop", "run")
            assert module in where or room(module) == "evaluation", module


def test_training_and_evaluation_meet_in_run_only() -> None:
    for module in MODULES:
        if {"training", "evaluation"} <= {room(name) for name in ours(module)}:
            assert module == "run"


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level modules in a fresh process after importing these."""
    statements = "\n".join(f"import nlcse_tune.{name}" for name in modules)
    code = f"{statements}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_light_modules_load_nothing_heavy() -> None:
    light = [name for name in MODULES if room(name) in LIGHT]
    assert {room(name) for name in light} == set(LIGHT)
    assert loaded_by([*light, "search.state", "launch.spec", "tracking"]).isdisjoint(HEAVY)
    assert loaded_by(["tracking.tensorboard"]).isdisjoint(HEAVY - {"fsspec"})  # which TensorBoard loads by itself


def test_the_driver_of_searches_and_seed_studies_loads_nothing_that_trains() -> None:
    """It would cost seconds before Ray starts, and half a gigabyte for as long as the search takes."""
    assert loaded_by(["launch.pool", "search.search", "seeds"]).isdisjoint({"torch", "transformers", "torchvision"})


def test_the_training_core_loads_no_launcher_and_no_second_library_of_encoders() -> None:
    core = [name for name in MODULES if room(name) in ("data", "models", "training", "evaluation", "run")]
    assert loaded_by(core).isdisjoint({"ray", "optuna", "sentence_transformers"})


def test_every_loader_is_told_not_to_run_a_models_own_code() -> None:
    """A default of the libraries asks the user, and y runs it."""
    loaders = {"from_pretrained", "SentenceTransformer", "Transformer"}
    for name, path in MODULES.items():
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in loaders and "modules" not in {keyword.arg for keyword in call.keywords}:
                assert "trust_remote_code" in ast.unparse(call), f"{name}: {called}"
