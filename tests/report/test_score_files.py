"""Files of scores: two forms, other separators, and a line for each mistake."""

from pathlib import Path

import pytest

from nlcse_tune.errors import DataError
from nlcse_tune.report.score_files import MOST, read_pair, read_scores

HEADER = "method,seed,task,score\n"
LONG = HEADER + "a,1,x,1.5\na,1,y,2.5\na,2,x,3.5\nb,1,x,4.5\n"
WIDE = "method,seed,x,y\na,1,1.5,2.5\na,2,3.5,\nb,1,4.5,\n"
SAME = {"a": {1: {"x": 1.5, "y": 2.5}, 2: {"x": 3.5}}, "b": {1: {"x": 4.5}}}


def read(path: Path, text: str | bytes) -> dict[str, dict[int, dict[str, float]]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {arm.name: {seed: dict(own) for seed, own in arm.by_seed.items()} for arm in read_scores(path)}


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        WIDE,
        LONG.replace(",", ";"),
        WIDE.replace(",", "\t"),
        LONG.replace("\n", "\r\n"),
        "\ufeff" + LONG,
        "\n" + LONG.replace("a,1,y", "\na,1,y"),
        "\n" + LONG.replace(",", ";"),
        "sep=;\r\n" + LONG.replace(",", ";").replace("\n", "\r\n"),
        '"sep=\t"\n\n' + WIDE.replace(",", "\t"),
        ",,,\n" + WIDE,
        LONG.replace("a,2,x", "a,2,X").replace("b,1,x", "b,1,X"),
        "Score,TASK, seed ,Method\n" + "1.5,x,1,a\n2.5,y,1,a\n3.5,x,2,a\n4.5,x,1,b\n",
        'method,"seed",task,score\n"a",1,"x",1.5\na,1,y,2.5\na,2,x,3.5\na,2,y,\nb,1,x,4.5\n',
    ],
)
def test_both_forms_however_they_are_separated(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "scores.csv", text) == SAME


def test_a_file_without_methods_holds_one_by_its_name(tmp_path: Path) -> None:
    assert read(tmp_path / "mine.csv", "seed,x\n2,1.5\n1,2.5\n") == {"mine": {1: {"x": 2.5}, 2: {"x": 1.5}}}
    assert read(tmp_path / "mine.csv", "seed,score\n1,1.5\n") == {"mine": {1: {"score": 1.5}}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r":1: no column is called seed; the header must be .*, got nothing"),
        ("method,task,score\na,x,1\n", r":1: no column is called seed; the header must be .*, got method,task,score"),
        ("method,seed,task\na,1,x\n", ":1: a column is called task, and none score"),
        ("method,seed,task,score,note\na,1,x,1,hm\n", ":1: beside a column for the task there is no place for 'note'"),
        ("method,seed\na,1\n", ":1: no column holds scores"),
        ("method,seed,x,x\na,1,1,2\n", ":1: the column 'x' stands there twice"),
        ("method,seed,x,avg\na,1,1,1\n", ":1: avg: averages are computed here, over all tasks; leave them out"),
        (HEADER + "a,1,Mean,1\n", ":2: Mean: averages are computed here"),
        (",method,seed,x\n0,a,1,1\n", ":1: task: must be a name of 1 to 100 characters, got ''"),
        (HEADER + "a,1,x,1\na,1,x,2\n", r":3: a, seed 1 has a score on x already, in line 2"),
        ("method,seed,x\na,1,1\n\na,1,2\n", ":4: a, seed 1 has a score on x already, in line 2"),
        (HEADER + "a,1,x,nan\n", ":2: score: must be a finite number, got 'nan'"),
        (HEADER + "a,1,x,inf\n", ":2: score: must be a finite number, got 'inf'"),
        (HEADER + 'a,1,x,"76,96"\n', ":2: score: must be a finite number, got '76,96'; write it like 76.96"),
        (HEADER + "a,1,x,1_0\n", ":2: score: must be a finite number"),
        (HEADER + "a,1,x,1e308\n", ":2: score: must be at most 1,000,000,000 either way, got '1e308'"),
        (HEADER + "a,1,x,-2e9\n", ":2: score: must be at most 1,000,000,000 either way, got '-2e9'"),
        (HEADER + "a,1,SST2,1\na,1,sst2,2\n", ":3: a, seed 1 has a score on SST2 already, in line 2"),
        ("\nsep=;\n" + HEADER + "a,one,x,1\n", ":4: seed: must be a whole number"),
        (HEADER + "a,one,x,1\n", ":2: seed: must be a whole number from 0 to 2147483647, got 'one'"),
        (HEADER + "a,1.0,x,1\n", ":2: seed: must be a whole number"),
        (HEADER + "a,99999999999999999999,x,1\n", ":2: seed: must be a whole number"),
        (HEADER + "a,1,x\n", ":2: must have 4 fields like the header, got 3"),
        (HEADER + ",1,x,1\n", ":2: method: must be a name"),
        (HEADER + "a\x07,1,x,1\n", ":2: method: must be a name"),
        (HEADER + 'a,1,"x,1\n', ":2: not readable as CSV"),
        (HEADER + "a,1,x,\n", ": holds no scores"),
        (HEADER, ": holds no scores"),
        (LONG.encode("utf-16"), r":1: not UTF-8 \(byte 0xff\); save it as UTF-8 CSV"),
        ((HEADER + "é,1,x,1\n").encode("latin-1"), r":2: not UTF-8 \(byte 0xe9\)"),
        ("method,seed," + ",".join(f"t{i}" for i in range(1000)) + "\na,1" + ",1" * 1000, ": 1000 tasks, and at most"),
        (HEADER + "".join(f"m{i},1,x,1\n" for i in range(MOST + 1)), f": {MOST + 1} methods, and at most {MOST}"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"scores.csv{said}") as caught:
        read(tmp_path / "scores.csv", text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: cannot be read: No such file"):
        read_scores(tmp_path / "none.csv")


def test_a_pair_of_files_is_told_apart(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.csv").write_text("method,seed,x\nmine,1,2\n")
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    new.write_text("method,seed,X\nmine,1,2\n")
    assert [arm.by_seed for arm in read_pair(old, new)] == [{1: {"x": 2.0}}] * 2
    assert [arm.name for arm in read_pair(old, new)] == ["old", "new"]
    with pytest.raises(DataError, match="both hold scores of old; name the methods apart"):
        read_pair(old, old)
    new.write_text(LONG)
    with pytest.raises(
        DataError, match=r"new.csv: holds 2 methods \(a, b\), and one is compared with one; `nlcse-tune"
    ):
        read_pair(old, new)
