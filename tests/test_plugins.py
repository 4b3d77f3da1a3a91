"""A loss and a modality of an installed package: how they are found, named, imported, and blamed."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from nlcse_tune import plugins
from nlcse_tune.config import RunConfig, SideConfig
from nlcse_tune.config.fields import override, validate
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.data.check import check_inputs
from nlcse_tune.data.modalities import load_side
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.models.losses import side_loss
from nlcse_tune.models.side_embedding import SideTower
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, run_id
from nlcse_tune.run import run_one
from nlcse_tune.search.state import load_state
from nlcse_tune.space import parse_space
from nlcse_tune.study import Study, find_study
from nlcse_tune.training.context import RunContext

EXAMPLE = Path(__file__).parent / "plugin"
DOCS = Path(__file__).parents[1] / "docs" / "own-method.md"
Announce = Callable[..., None]

# What a fault does instead of one line of these.
LOSS = """
def loss(view1, view2, labels, *, temperature):
    return ((view1 - view2) ** 2).mean()
"""
SIDE = """
import numpy as np
class Side:
    shape, patch = (1, 8, 8), 4
    def __init__(self, data):
        self.labels = np.arange(8) % 2
    def views(self, item, rng):
        return rng.random((2, 1, 8, 8))
"""


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Puts a package of one file on the path with the metadata that an installer would leave."""
    modules: list[str] = []

    def put(source: str, package: str = "faulty", version: str = "1.0", name: str = "") -> None:
        folder = tmp_path / f"site-{len(modules)}"
        info = folder / f"{package}-{version}.dist-info"
        info.mkdir(parents=True)
        (folder / f"{package}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        points = {"losses": f"{package}:loss", "sides": f"{package}:Side"}
        groups = (f"[nlcse_tune.{group}]\n{name or package} = {target}\n" for group, target in points.items())
        (info / "entry_points.txt").write_text("\n".join(groups))
        monkeypatch.syspath_prepend(folder)
        modules.append(package)
        sys.modules.pop(package, None)
        plugins.installed.cache_clear()

    yield put
    plugins.installed.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example was installed into."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source)  # building leaves files beside it
    uv = ["uv", "pip", "install", "--python", sys.executable, "--offline"]
    pip = uv if shutil.which("uv") else [sys.executable, "-m", "pip", "install", "--no-index"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def with_example(
    example: Path, tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunConfig]:
    """A run with the example's loss and modality, on maps of its own."""
    maps = np.random.default_rng(1).random((24, 32, 32), dtype=np.float32)
    np.savez(tmp_path / "maps.npz", maps=maps, labels=np.arange(24) % 3)
    monkeypatch.syspath_prepend(example)
    plugins.installed.cache_clear()
    side = {"modality": "example-maps", "loss": "example-centred", "data": str(tmp_path / "maps.npz"), "batch_size": 8}
    yield override(tiny_study.config, {f"side.{field}": value for field, value in side.items()})
    plugins.installed.cache_clear()


def test_an_installed_package_is_trained_with_and_recorded(with_example: RunConfig, tmp_path: Path) -> None:
    check_inputs([with_example])
    records = [run_one(with_example, 1, RunContext(tmp_path / str(i))) for i in range(2)]
    one, again = (record.dev_curve for record in records)
    assert one == again
    assert all(point.side_loss is not None and point.side_loss > 0 for point in one)
    micro = override(with_example, {"train.micro_batch": 3, "train.loader_threads": 0})
    chunks = run_one(micro, 1, RunContext(tmp_path / "micro")).dev_curve
    assert [point.side_loss for point in chunks] == pytest.approx([point.side_loss for point in one], rel=1e-4)
    for kind in plugins.GROUPS:
        package, version, digest = records[0].data[kind].split()
        assert (package, version, len(digest)) == ("nlcse-example", "1.0", 16)
    assert records[0].config.method == "example-mapsCSE"
    records[0].write(tmp_path / "record.json")
    assert RunRecord.read(tmp_path / "record.json") == records[0]


def test_the_docs_show_the_example_whole() -> None:
    shown = DOCS.read_text()
    for file in ("pyproject.toml", "nlcse_example/losses.py", "nlcse_example/maps.py"):
        assert f"\n{(EXAMPLE / file).read_text()}```" in shown, file


def test_naming_a_package_imports_nothing_of_it(example: Path, tmp_path: Path) -> None:
    study = "extends: demo\nconfig: {side: {modality: example-maps, loss: example-centred, data: maps.npz}}\n"
    (tmp_path / "mine.yaml").write_text(study)
    code = (
        f"import sys; sys.path.insert(0, {str(example)!r})\nfrom nlcse_tune import study, plugins\n"
        f"config = study.find_study({str(tmp_path / 'mine.yaml')!r}).config\n"
        "print(config.side.loss, plugins.find('side.loss', config.side.loss).fingerprint.split()[1],\n"
        "      [name for name in ('nlcse_example', 'torch', 'numpy') if name in sys.modules and name != 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=2) == ["example-centred", "1.0", "[]\n"]


def test_an_unknown_name_is_told_what_there_is(announce: Announce) -> None:
    own = "must be 'simclr', 'supcon', 'supcon_khosla' or 'supcon_as_released', or one of an installed package"
    with pytest.raises(
        ConfigError, match=rf"x: side.loss: {own} \(none is installed; `pip install` brings it.*'fault'"
    ):
        validate(RunConfig, {"side": {"data": "synthetic", "loss": "fault"}}, where="x")
    announce(LOSS)
    with pytest.raises(ConfigError, match=rf"{own} \('faulty' of faulty 1.0; .*got 'fault'; did you mean 'faulty'\?"):
        override(find_study("demo").config, {"side.loss": "fault"})
    with pytest.raises(ConfigError, match="side.modality: must be 'image' or 'audio', or one of an installed package"):
        override(find_study("demo").config, {"side.modality": "sound"})
    space = parse_space({"parameters": {"side.loss": ["supcon", "faulty"]}}, name="x", where="x.yaml")
    assert space.size() == 2
    with pytest.raises(ConfigError, match=r"x.yaml: side.loss: must be 'simclr'.*got 'fault'"):
        parse_space({"parameters": {"side.loss": ["supcon", "fault"]}}, name="x", where="x.yaml")


def test_two_packages_with_one_name_are_not_chosen_between(announce: Announce) -> None:
    announce(LOSS, "one", name="mine")
    announce(LOSS, "other", name="mine")
    with pytest.raises(ConfigError, match="side.loss: must be of one package, got 'mine' from other 1.0, one 1.0"):
        plugins.find("side.loss", "mine")


def test_another_version_or_source_is_another_run(announce: Announce, tiny_config: RunConfig) -> None:
    ids = []
    for version, source in (("1.0", LOSS), ("1.1", LOSS), ("1.1", LOSS + "# changed\n"), ("1.1", LOSS + "# changed\n")):
        announce(source, version=version)
        config = override(tiny_config, {"side.loss": "faulty"})
        ids.append(run_id(config, 1, fingerprints(config)))
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]
    assert not {*plugins.GROUPS} & {*fingerprints(tiny_config)}


def test_records_are_read_where_the_package_is_gone(tmp_path: Path, tiny_config: RunConfig, announce: Announce) -> None:
    announce(LOSS)
    config = override(tiny_config, {"side.loss": "faulty", "train.max_steps": 1, "train.eval_every": 1})
    run_one(config, 1, RunContext(tmp_path / "run")).write(tmp_path / "record.json")
    sys.path.pop(0)
    plugins.installed.cache_clear()
    record = RunRecord.read(tmp_path / "record.json")
    assert record is not None
    assert record.config.side is not None
    assert record.config.side.loss == "faulty"
    with pytest.raises(ConfigError, match="^side.loss: must be .*or one of an installed package .*, got 'faulty'"):
        run_one(record.config, 1, RunContext(tmp_path / "again"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise KeyError('lost')", r"KeyError: 'lost' \(faulty.py:3\)"),
        ("return (view1 - view2).norm(dim=7)", r"IndexError: Dimension out of range.* \(faulty.py:3\)"),
        ("return view1.sum() * float('nan')", "must return one finite number with a gradient, got nan"),
        ("return view1.sum(dim=1)", r"must return one finite number with a gradient, got a tensor \(4,\)"),
        ("return 1.0", "must return one finite number with a gradient, got float"),
        ("return view1.detach().sum()", "must return one finite number with a gradient, got one without a gradient"),
    ],
)
def test_a_loss_that_fails_is_named(announce: Announce, line: str, said: str) -> None:
    announce(LOSS.replace("return ((view1 - view2) ** 2).mean()", line))
    views = torch.rand(2, 4, 3, requires_grad=True)
    with pytest.raises(RunError, match=rf"side.loss faulty \(faulty 1.0\): {said}") as caught:
        side_loss("faulty")(*views, torch.zeros(4), temperature=0.1)
    assert "\n" not in str(caught.value)


def test_a_package_that_cannot_be_imported_ends_its_run(
    announce: Announce, tiny_config: RunConfig, tmp_path: Path
) -> None:
    announce("import nowhere\n")
    config = override(tiny_config, {"side.loss": "faulty"})
    with pytest.raises(RunError, match=r"side.loss faulty \(faulty 1.0\): ModuleNotFoundError.*\(faulty.py:1\)"):
        run_one(config, 1, RunContext(tmp_path))


def test_a_package_that_ends_the_process_is_named(announce: Announce) -> None:
    announce("import sys\nsys.exit('needs CUDA')\n")
    with pytest.raises(RunError, match=r"side.loss faulty \(faulty 1.0\): SystemExit: needs CUDA \(faulty.py:2\)"):
        side_loss("faulty")(*torch.rand(2, 4, 3), torch.zeros(4), temperature=0.1)


@pytest.mark.parametrize("value", ["faulty:", ".faulty:loss", "faulty", "fau lty:loss", "faulty:loss:more"])
def test_an_entry_point_that_leads_nowhere_is_named(announce: Announce, tmp_path: Path, value: str) -> None:
    announce(LOSS)
    points = tmp_path / "site-0/faulty-1.0.dist-info/entry_points.txt"
    points.write_text(f"[nlcse_tune.losses]\nfaulty = {value}\n")
    plugins.installed.cache_clear()
    said = rf"side.loss: faulty 1.0 must announce 'faulty' as MODULE:NAME, got '{value}'; see docs/own-method.md"
    for use in (lambda: override(find_study("demo").config, {"side.loss": "faulty"}), lambda: side_loss("faulty")):
        with pytest.raises(ConfigError, match=said) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_module_without_a_specification_has_no_source(announce: Announce, tmp_path: Path) -> None:
    announce(LOSS)
    points = tmp_path / "site-0/faulty-1.0.dist-info/entry_points.txt"
    points.write_text("[nlcse_tune.losses]\nfaulty = __main__:nothing\n")
    plugins.installed.cache_clear()
    assert plugins.find("side.loss", "faulty").fingerprint.startswith("faulty 1.0 ")
    with pytest.raises(RunError, match=r"side.loss faulty \(faulty 1.0\): AttributeError: .*nothing"):
        plugins.find("side.loss", "faulty").load()


def test_views_with_a_gradient_lose_it(announce: Announce) -> None:
    announce(SIDE.replace("rng.random((2, 1, 8, 8))", "__import__('torch').ones(2, 1, 8, 8, requires_grad=True) * 2"))
    views = load_side(SideConfig(modality="faulty", data="x", batch_size=4)).views(0, np.random.default_rng(0))
    assert not views.requires_grad
    assert (views == 2).all()


def test_a_side_gives_a_device_what_it_gives_a_cpu(announce: Announce) -> None:
    announce(SIDE)
    data = load_side(SideConfig(modality="faulty", loss="simclr", data="x", batch_size=4))
    room = data.room(3, pinned=False)
    for place, item in enumerate((5, 0, 2)):
        data.fill(room, place, item, np.random.default_rng(place))
    rows = data.render_all(room, "cpu")
    for place, item in enumerate((5, 0, 2)):
        assert torch.equal(rows[place::3], data.views(item, np.random.default_rng(place)))
    assert SideTower("faulty", 16, 0.0).embedding(rows).shape == (6, 1 + 4, 16)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("np.arange(8) % 2", "open(data)", r"FileNotFoundError: .* \(faulty.py:6\)"),
        ("np.arange(8) % 2", "np.ones(8)", r"`labels` must be whole numbers \(N,\), got float64 \(8,\)"),
        ("self.labels", "self.other", r"AttributeError: .*labels"),
        ("(1, 8, 8), 4", "(1, 8), 4", r"must have `shape`.*, got \(1, 8\) and 4"),
        ("(1, 8, 8), 4", "(1, 8, 8), 9", r"must have `shape`.*, got \(1, 8, 8\) and 9"),
        ("(2, 1, 8, 8)", "(2, 8, 8)", r"`views` must give finite numbers \(2, 1, 8, 8\), got \(2, 8, 8\)"),
        (
            "rng.random((2, 1, 8, 8))",
            "np.full((2, 1, 8, 8), np.nan)",
            "`views` must give finite numbers .*that are not",
        ),
        (
            "rng.random((2, 1, 8, 8))",
            "np.full((2, 1, 8, 8), 1e300)",
            "`views` must give finite numbers .*that are not, as torch.float32",
        ),
        ("rng.random((2, 1, 8, 8))", "np.full((2, 1, 8, 8), 1j)", "`views` must give finite numbers .*complex ones"),
        ("rng.random((2, 1, 8, 8))", "__import__('sys').exit('needs CUDA')", r"SystemExit: needs CUDA \(faulty.py:8\)"),
        ("rng.random((2, 1, 8, 8))", "1 / 0", r"ZeroDivisionError: division by zero \(faulty.py:8\)"),
    ],
)
def test_a_side_that_fails_is_named(announce: Announce, old: str, new: str, said: str) -> None:
    announce(SIDE.replace(old, new))
    with pytest.raises(RunError, match=rf"side.modality faulty \(faulty 1.0\): {said}"):
        load_side(SideConfig(modality="faulty", data="x", batch_size=4)).views(0, np.random.default_rng(0))


def test_each_point_of_a_search_is_named_by_its_own_package(
    announce: Announce, tiny_study: Study, tmp_path: Path
) -> None:
    announce(LOSS, "one")
    announce(LOSS, "other")
    losses = {"parameters": {"side.loss": ["supcon", "one", "other"]}}
    study = tiny_study.copied(space=parse_space(losses, name="losses", where="losses"), trials=3)
    paths = StudyPaths(tmp_path, study.name)
    state = load_state(study, paths, None)
    specs = [state.spec({"side.loss": loss}) for loss in ("supcon", "one", "other")]
    for spec in specs:
        assert spec.run_id == run_id(spec.config, spec.seed, fingerprints(spec.config))
        assert state.belongs(spec.run_id, spec.config)
    sys.path.remove(str(tmp_path / "site-0"))
    plugins.installed.cache_clear()
    fewer = parse_space({"parameters": {"side.loss": ["supcon", "other"]}}, name="losses", where="losses")
    state = load_state(study.copied(space=fewer), paths, None)
    assert [state.belongs(spec.run_id, spec.config) for spec in specs] == [True, False, True]
