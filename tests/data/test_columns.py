"""Training text: reading."""

from pathlib import Path

import pytest

from nlcse_tune.config import TextConfig
from nlcse_tune.data.columns import load_columns
from nlcse_tune.errors import DataError
from tests.shared_data import DATA, needs_data


def columns_of(path: Path, content: str | bytes, **options: object) -> tuple[list[str], ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_columns(TextConfig(data=str(path), batch_size=2, **options))  # type: ignore[arg-type]


def test_sentences_one_a_line(tmp_path: Path) -> None:
    assert columns_of(tmp_path / "a.txt", "One  two.\n\n  Three\tfour. \n") == (["One two.", "Three four."],)


def test_triplets_and_pairs(tmp_path: Path) -> None:
    triplets = 'sent0,sent1,hard_neg\na,b,c\n"d, e",f,"say ""g"""\n'
    assert columns_of(tmp_path / "t.csv", triplets, objective="supervised") == (
        ["a", "d, e"],
        ["b", "f"],
        ["c", 'say "g"'],
    )
    assert columns_of(tmp_path / "p.csv", "sent0,sent1\na,b\nc,d\n", objective="supervised") == (["a", "c"], ["b", "d"])


@pytest.mark.parametrize(
    ("name", "content", "objective", "message"),
    [
        ("a.txt", b"good\ncaf\xe9\n", "unsupervised", r"a.txt:2: not UTF-8"),
        ("a.txt", "one\n", "unsupervised", "1 rows do not fill one batch"),
        ("a.csv", "sent0,sent1,hard_neg\na,b,c\n", "unsupervised", "set text.objective=supervised"),
        ("a.csv", "premise,hypothesis\na,b\n", "supervised", r"a.csv:1: must have the header"),
        ("a.csv", "sent0,sent1,hard_neg\na,b\n", "supervised", r"a.csv:2: must have 3 filled columns"),
        ("a.csv", "sent0,sent1,hard_neg\na, ,c\n", "supervised", r"a.csv:2: must have 3 filled columns"),
        ("a.csv", "sent0,sent1,hard_neg\n", "supervised", "holds a header and no rows"),
        ("a.csv", b"sent0,sent1\na,caf\xe9\n", "supervised", "not readable as UTF-8 CSV"),
    ],
)
def test_bad_text_names_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, objective: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        columns_of(tmp_path / name, content, objective=objective)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; set text.data"):
        load_columns(TextConfig(data=str(tmp_path / "none.txt")))


SENTENCES = ["A dog, a cat.", "No comma here.", "One, two, three.", '"Yes," he said.', "The end."]
TABLE = "label,text\n1,Good, really good\n0,Bad\n"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", TABLE, "3 of the first 3 rows have columns, separated by commas"),
        ("a.CSV", "id;text\n1;One, two.\n2;Three.\n", "separated by semicolons"),
        ("a.csv", "id\ttext\n1\tOne, two.\n2\tThree.\n", "separated by tabs"),
        ("a.tsv", "id\ttext\n1\tOne.\n2\tTwo.\n", "separated by tabs"),
        ("a.csv", 'text,label\n"One,\n two",1\n"Three\nfour",0\n', "separated by commas"),
        ("a.csv", 'text\n"Good, really good"\nBad\n', "one column, 1 of whose cells are in quotes"),
    ],
)
def test_a_table_is_not_trained_as_sentences(tmp_path: Path, name: str, content: str, told: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: looks like a table \(.*{told}.*to a .txt file"):
        columns_of(tmp_path / name, content)


@pytest.mark.parametrize(
    ("name", "lines"),
    [("a.txt", TABLE.split("\n")[:-1]), ("a.csv", SENTENCES), ("a.tsv", SENTENCES), ("a.tsv", TABLE.split("\n")[:-1])],
)
def test_sentences_with_commas_are_sentences(tmp_path: Path, name: str, lines: list[str]) -> None:
    assert columns_of(tmp_path / name, "\n".join(lines)) == (lines,)


def test_an_outsized_line_is_named(tmp_path: Path) -> None:
    line = "word " * 20_000
    assert len(columns_of(tmp_path / "a.txt", f"one\n{line}\n")[0]) == 2
    with pytest.raises(DataError, match=r"a.txt:2: 100,001 characters, and at most 100,000"):
        columns_of(tmp_path / "a.txt", f"one\n{line}x\nthree\n")
    with pytest.raises(DataError, match=r"a.csv:2: .*field limit \(100000\)"):
        columns_of(tmp_path / "a.csv", f"sent0,sent1\n{line}x,two\n", objective="supervised")
    with pytest.raises(DataError, match=r"a.csv:2: must have 2 filled columns") as told:
        columns_of(tmp_path / "a.csv", "sent0,sent1\n" + "x," * 50_000, objective="supervised")
    assert len(str(told.value)) < 500


@needs_data
def test_the_real_texts_load() -> None:
    wiki = load_columns(TextConfig(data=str(DATA / "text" / "wiki_sentences.txt")))
    nli = load_columns(TextConfig(data=str(DATA / "text" / "nli_triplets.csv"), objective="supervised"))
    assert len(wiki[0]) == 70_282
    assert [len(column) for column in nli] == [5_883] * 3
