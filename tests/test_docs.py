"""README and docs are true: commands parse, the example loads, links and files exist, words have one meaning."""

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from nlcse_tune.cli.main import app
from nlcse_tune.files import parse_yaml
from nlcse_tune.space import Range, ValueList, parse_space
from nlcse_tune.study import Confirm, find_study

ROOT = Path(__file__).resolve().parents[1]
README, LOG = ROOT / "README.md", ROOT / "LOG.md"
PAGES = [README, ROOT / "CHANGELOG.md", LOG, *sorted((ROOT / "docs").glob("*.md"))]
YAML = sorted([*(ROOT / "studies").glob("*.yaml"), *(ROOT / "search_spaces").glob("*.yaml")])
CODE = sorted((ROOT / "nlcse_tune").rglob("*.py"))
MOST_WORDS = 1_100

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="needs the checkout")

# Phrases that give a word a second meaning, or that are not the field's English, each with what is said instead.
CLASHES = {
    r"(?:seeds?|\d+) a side": "a side is images or audio; what is compared are arms: seeds per arm",
    r"either side": "either arm",
    r"side by side": "at a time, in parallel, beside",
    r"a row an?": "per row",
    r"a seed an?": "per seed",
    r"(?:\d+|one|two|negatives|positives) an anchor": "per anchor",
    r"one YAML an?": "one YAML file for each",
    r"a file an?": "a file for each",
    r"a folder a (?:class|speaker)": "a folder for each class",
    r"(?:one|sentence|sentences|study|studies|score) a line": "per line",
}
# Files that whoever has this repository does not have.
OUTSIDE = {
    r"PITFALLS": "docs/ray.md has its points under the same numbers",
    r"FEATURES": "say the reason itself, or cite what is published",
    r"DESIGN(?: §|\.md|,| says)": "docs/design.md has the reasons",
}


def fenced(page: Path, language: str = "") -> list[str]:
    """The code blocks of a page in one language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for kind, text in blocks if kind == language]


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of all that a file says to people: the whole of it, or of code its strings and comments."""
    source = path.read_text()
    if path.suffix != ".py":
        yield 1, source
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "0" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)


def offences(path: Path, patterns: dict[str, str]) -> set[str]:
    """Where the file uses one of the patterns, with what to say instead; a phrase may run over the end of a line."""
    found = set()
    for start, text in spoken(path):
        for pattern, instead in patterns.items():
            for match in re.finditer(rf"(?<![\w-]){pattern}(?!\w)".replace(" ", r"\s+"), text, re.IGNORECASE):
                line = start + text[: match.start()].count("\n")
                found.add(f"{path.relative_to(ROOT)}:{line}: {' '.join(match[0].split())!r}; say: {instead}")
    return found


def commands(page: Path) -> list[str]:
    """Every `nlcse-tune ...` that a page shows, in blocks and in sentences, less what is left out with dots."""
    text = "\n".join(fenced(page)).replace("\\\n", " ")
    lines = [line.partition("nlcse-tune ")[2].partition("#")[0] for line in text.splitlines() if "nlcse-tune " in line]
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    inline = [" ".join(found.split()) for found in re.findall(r"`nlcse-tune\s([^`]+)`", prose)]
    return [re.sub(r"[\[\]]|\.\.\.", "", line).strip() for line in (*lines, *inline)]


def test_readme_is_short() -> None:
    assert len(README.read_text().split()) < MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_parses(page: Path) -> None:
    """Its words are put through the real parser, values and choices too; nothing is run."""
    for line in commands(page):
        command, context, words = typer.main.get_command(app), None, shlex.split(line)
        while hasattr(command, "commands") and words and not words[0].isupper():
            name, *words = words
            assert name in command.commands, f"{page.name}: `nlcse-tune {line}`: no such command as {name}"
            command = command.commands[name]
        if words and "--help" not in words and not hasattr(command, "commands"):
            context = command.make_context(command.name, list(words))  # raises, with the reason, what it refuses
            assert context is not None


def test_readme_shows_every_command() -> None:
    shown = {line.split()[0] for line in commands(README)}
    assert shown == set(typer.main.get_command(app).commands)


def test_the_readmes_study_loads_and_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = fenced(README, "yaml")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    study = find_study("mine")
    assert study.baseline == "simcse-bert"
    assert study.config.side is not None
    assert study.config.side.data == "data/photographs"
    assert study.config.side.learning_rate == 1e-6  # from what it extends
    assert study.space is not None
    kinds = {type(parameter) for parameter in study.space.parameters.values()}
    assert kinds == {ValueList, Range}
    shown = CliRunner().invoke(app, ["studies", "mine"])
    assert shown.exit_code == 0, shown.output
    assert "data/photographs" in shown.output


def test_the_space_in_the_docs_loads() -> None:
    (text,) = fenced(ROOT / "docs" / "searching.md", "yaml")
    assert len(parse_space(parse_yaml(text, where="docs"), name="docs", where="docs").parameters) == 4


def test_the_declaration_in_the_docs_has_every_default() -> None:
    (text,) = fenced(ROOT / "docs" / "statistics.md", "yaml")
    shown = parse_yaml(text, where="docs")["confirm"]
    assert set(shown) == set(Confirm.model_fields)
    assert Confirm.model_validate(shown) == Confirm()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_point_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in targets if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_page_of_docs_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_the_file_tree_is_there() -> None:
    (tree,) = (block for block in fenced(README) if block.startswith("nlcse_tune/"))
    inside, outside = tree.rsplit("\n", 2)[0], tree.splitlines()[-1]
    name = r"(?<![\w/])([\w*]+(?:/|\.py))"
    paths = [ROOT / "nlcse_tune" / found for found in re.findall(name, inside) if found != "nlcse_tune/"]
    paths += [ROOT / found for found in re.findall(name, outside)]
    assert len(paths) > 20
    missing = [
        path for path in paths if not (list(path.parent.rglob(path.name)) if "*" in path.name else path.exists())
    ]
    assert not missing
    rooms = {path.name for path in (ROOT / "nlcse_tune").iterdir() if not path.name.startswith("__")}
    assert not rooms - {path.name for path in paths} - {"_shipped"}, "rooms that the tree does not show"


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    command = "uv run pytest -n 2 --dist loadfile"
    assert f"`{command}`" in README.read_text()
    assert command in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_cited_exists(path: Path) -> None:
    """`docs/ray.md, point 12`, `docs/ray.md, "uv run"` and `LOG.md, "..."` lead somewhere."""
    text = re.sub(r"\n\s*#? ?", " ", path.read_text()).replace("[docs/ray.md](ray.md)", "docs/ray.md")
    ray, log = (ROOT / "docs" / "ray.md").read_text(), LOG.read_text()
    points = set(re.findall(r"^(\d+)\. \*\*", ray, flags=re.MULTILINE))
    assert points == {str(n) for n in range(1, 29)}
    cited = [
        n for found in re.findall(r"docs/ray\.md, points? ([\d, andto]+)", text) for n in re.findall(r"\d+", found)
    ]
    assert set(cited) <= points
    assert [
        name for name in re.findall(r'docs/ray\.md, "([^"]+)"', text) if not re.search(rf"(?:\*\*|# ){name}", ray)
    ] == []
    assert [name for name in re.findall(r'LOG\.md, "([^"]+)"', text) if name not in log] == []


@pytest.mark.parametrize("path", [*PAGES, *YAML, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_each_word_has_one_meaning(path: Path) -> None:
    found = offences(path, CLASHES)
    assert not found, "\n".join(sorted(found))


def test_nothing_cites_files_outside_the_repository() -> None:
    """Comments count here: whoever reads one must be able to look up what it cites."""
    folders = (path for name in ("nlcse_tune", "tests", "benchmarks") for path in (ROOT / name).rglob("*.py"))
    found = []
    for path in (*PAGES, *YAML, ROOT / "pyproject.toml", *(path for path in folders if path != Path(__file__))):
        text, name = path.read_text(), path.relative_to(ROOT)
        found += [f"{name}: {pattern}; {instead}" for pattern, instead in OUTSIDE.items() if re.search(pattern, text)]
        if path.parts[len(ROOT.parts)] != "tests" and re.search(r"(?<![\w/])shared/", text):
            found.append(f"{name}: shared/ is a folder that only some machines have")
    assert not found, "\n".join(found)
