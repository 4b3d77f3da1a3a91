"""Files are replaced in one motion, and the error says what to do."""

import os
from pathlib import Path

import pytest

from nlcse_tune.errors import ConfigError, RunError, nearest
from nlcse_tune.files import YAML_DEPTH, parse_yaml, read_yaml, replacing, write_text


def test_a_failed_write_leaves_the_former_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(ValueError, match="midway"), replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError("midway")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "é")
    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "é"


def test_an_unwritable_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/a.txt: cannot be written: .*choose another --out"):
        write_text(tmp_path / "file" / "a.txt", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be written"):
        write_text(tmp_path / "a.txt", "x")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_file_has_the_permissions_of_the_users_umask(umask: int, mode: int, tmp_path: Path) -> None:
    former = os.umask(umask)
    try:
        write_text(tmp_path / "new" / "a.txt", "x")
        write_text(tmp_path / "new" / "a.txt", "y")  # in place of the former one
    finally:
        os.umask(former)
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == mode
    assert (tmp_path / "new").stat().st_mode & 0o777 == mode | (mode & 0o444) >> 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-5", 3e-5),
        ("1E6", 1e6),
        ("-2.5e-3", -2.5e-3),
        (".5", 0.5),
        ("64", 64),
        ("1e", "1e"),
        ("e5", "e5"),
        ("on", "on"),
    ],
)
def test_yaml_numbers(text: str, value: object) -> None:
    parsed = parse_yaml(text, where="x")
    assert parsed == value
    assert type(parsed) is type(value)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ("{a: ", "}")])
def test_yaml_is_read_to_a_depth(left: str, right: str) -> None:
    depth = YAML_DEPTH - 1  # the scalar inside counts too
    assert parse_yaml(f"{left * depth}1{right * depth}", where="x")
    for deeper in (depth + 1, 3000):
        with pytest.raises(ConfigError, match=rf"x: line 1, column \d+: .* nested more than {YAML_DEPTH} deep"):
            parse_yaml(f"{left * deeper}1{right * deeper}", where="x")


def test_nearest() -> None:
    assert nearest("visualcse-brt", ["visualcse-bert", "demo"]) == "; did you mean 'visualcse-bert'?"
    assert nearest("zzz", ["visualcse-bert"]) == ""
