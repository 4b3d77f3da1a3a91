"""SentEval's STS files: tiny ones made here, broken ones, and the real ones where they are."""

from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.config import STS_TASKS, SYNTHETIC, StsTask
from nlcse_tune.data import sts
from nlcse_tune.data.lines import OFFICIAL, MissingDataError
from nlcse_tune.errors import DataError
from tests.shared_data import DATA, needs_data


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def sts12(tmp_path: Path) -> Path:
    """STS12 with two pairs in each official sub-set."""
    for name in sts.SUBSETS["sts12"]:
        write(tmp_path / f"STS/STS12-en-test/STS.input.{name}.txt", f"a  {name}\tb\nc\td \n")
        write(tmp_path / f"STS/STS12-en-test/STS.gs.{name}.txt", "1.5\n4\n")
    return tmp_path


def folder(data: Path) -> Path:
    return data / "STS" / "STS12-en-test"


def test_semeval_task(sts12: Path) -> None:
    subsets = sts.load_task(str(sts12), "sts12")
    assert tuple(s.name for s in subsets) == sts.SUBSETS["sts12"]
    assert subsets[0].left == ["a MSRpar", "c"]
    assert subsets[0].right == ["b", "d"]
    np.testing.assert_array_equal(subsets[0].gold, [1.5, 4.0])
    assert subsets[0].gold.dtype == np.float64


def test_blank_gold_does_not_count(sts12: Path) -> None:
    write(folder(sts12) / "STS.input.MSRpar.txt", "a\tb\nc\td\ne\tf\n")
    write(folder(sts12) / "STS.gs.MSRpar.txt", "1\n\n3\n")
    subset = sts.load_task(str(sts12), "sts12")[0]
    assert (subset.left, subset.right, subset.gold.tolist()) == (["a", "e"], ["b", "f"], [1.0, 3.0])


def test_crlf_bom_and_unicode_line_separators(sts12: Path) -> None:
    write(folder(sts12) / "STS.input.MSRpar.txt", "\ufeffa\u2028x\tb\r\nc\td\r\n")
    subset = sts.load_task(str(sts12), "sts12")[0]
    assert subset.left == ["a x", "c"]  # U+2028 is white space within a line, not its end
    assert subset.right == ["b", "d"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("STS.gs.MSRpar.txt", "1\n2 3\n", r"STS\.gs\.MSRpar\.txt:2: must hold one gold score \(or none\), got '2 3'"),
        ("STS.gs.MSRpar.txt", "1\n2\t3\n", r"STS\.gs\.MSRpar\.txt:2: must hold one gold score"),
        ("STS.gs.MSRpar.txt", "1\nx\n", r"STS\.gs\.MSRpar\.txt:2: the gold score must be a finite number, got 'x'"),
        ("STS.gs.MSRpar.txt", "nan\n2\n", r"STS\.gs\.MSRpar\.txt:1: the gold score must be a finite number"),
        ("STS.gs.MSRpar.txt", "1\n", r"STS\.input\.MSRpar\.txt has 2 lines, but STS\.gs\.MSRpar\.txt has 1"),
        ("STS.gs.MSRpar.txt", "\n\n", r"0 scored pairs"),
        ("STS.gs.MSRpar.txt", "3\n3\n", r"2 scored pairs, 1 distinct scores"),
        ("STS.input.MSRpar.txt", "a\tb\nc d\n", r"STS\.input\.MSRpar\.txt:2: must have 2 tab-separated columns, got 1"),
        ("STS.input.MSRpar.txt", "a\tb\nc\t \n", r"STS\.gs\.MSRpar\.txt:2: a scored pair has an empty sentence"),
        ("STS.input.MSRpar.txt", b"a\tb\nc\td\xe9\n", r"STS\.input\.MSRpar\.txt:2: not UTF-8 \(byte 0xe9\)"),
    ],
)
def test_broken_files_name_file_and_line(sts12: Path, name: str, content: str | bytes, message: str) -> None:
    write(folder(sts12) / name, content)
    with pytest.raises(DataError, match=message) as caught:
        sts.load_task(str(sts12), "sts12")
    assert not isinstance(caught.value, MissingDataError)


@pytest.mark.parametrize("task", STS_TASKS)
def test_missing_task_names_file_and_command(tmp_path: Path, task: StsTask) -> None:
    with pytest.raises(MissingDataError, match="not found: run `nlcse-tune data fetch senteval`") as caught:
        sts.load_task(str(tmp_path), task)
    assert str(sts.task_files(str(tmp_path), task)[0]) in str(caught.value)


def test_one_missing_official_subset_is_missing_data(sts12: Path) -> None:
    (folder(sts12) / "STS.input.surprise.OnWN.txt").unlink()
    with pytest.raises(MissingDataError, match=r"surprise\.OnWN"):
        sts.load_task(str(sts12), "sts12")


def test_own_subset_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "STS/STS16-en-test/STS.input.mine.txt", "a\tb\nc\td\n")
    write(tmp_path / "STS/STS16-en-test/STS.gs.mine.txt", "1\n2\n")
    assert [s.name for s in sts.load_task(str(tmp_path), "sts16")] == ["mine"]
    assert "sts16: 2 items, but officially there are 1186" in caplog.text


def test_stsb_and_its_extra_columns(tmp_path: Path) -> None:
    row = 'main\tMSRvid\t2012\t{0}\t{1}\ta "quoted sentence\tb\tlicence\n'
    write(tmp_path / "STS/STSBenchmark/sts-dev.csv", row.format(1, 2.5) + row.format(2, "") + row.format(3, 5))
    dev = sts.load_dev(str(tmp_path))
    assert dev.left == ['a "quoted sentence'] * 2
    assert dev.gold.tolist() == [2.5, 5.0]
    assert sts.task_files(str(tmp_path), "stsb", "dev") == [tmp_path / "STS/STSBenchmark/sts-dev.csv"]


def test_stsb_short_line(tmp_path: Path) -> None:
    write(tmp_path / "STS/STSBenchmark/sts-dev.csv", "main\tMSRvid\t2012\t1\t2.5\ta\n")
    with pytest.raises(DataError, match=r"sts-dev\.csv:1: must have 7 tab-separated columns, got 6"):
        sts.load_dev(str(tmp_path))


def test_sick_skips_its_header(tmp_path: Path) -> None:
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\r\n"
    lines = f"{header}6\ta\tb\t3.3\tNEUTRAL\r\n7\tc\td\t1\tX\r\n"
    write(tmp_path / "SICK/SICK_test_annotated.txt", lines)
    (subset,) = sts.load_task(str(tmp_path), "sickr")
    assert (subset.left, subset.gold.tolist()) == (["a", "c"], [3.3, 1.0])


def test_multilingual_dev_is_quoted_csv(tmp_path: Path) -> None:
    write(tmp_path / "stsb-de-dev.csv", '"Ein Mann, der\nlacht.",Er sagt ""hm"".,5.0\nHund,"Katze ""Mia""",0.5\n')
    subset = sts.load_multilingual_dev(tmp_path, "de")
    assert subset.left == ["Ein Mann, der lacht.", "Hund"]
    assert subset.right[1] == 'Katze "Mia"'
    with pytest.raises(MissingDataError, match=r"stsb-fr-dev\.csv: not found.*languages there: de"):
        sts.load_multilingual_dev(tmp_path, "fr")


@pytest.mark.parametrize("content", ["a,b\n", "a,b,1\nc,d,x\n", 'a,"b,1\n'])
def test_multilingual_bad_rows(tmp_path: Path, content: str) -> None:
    write(tmp_path / "stsb-de-dev.csv", content)
    with pytest.raises(DataError, match=r"stsb-de-dev\.csv:\d: "):
        sts.load_multilingual_dev(tmp_path, "de")


def test_synthetic_has_every_task_and_no_files() -> None:
    for task in STS_TASKS:
        (subset,) = sts.load_task(SYNTHETIC, task)
        assert len(subset) == len(subset.left) == len(subset.right) > 1
    assert len(sts.load_dev(SYNTHETIC)) > 1


@needs_data
@pytest.mark.parametrize("task", STS_TASKS)
def test_official_counts(task: StsTask) -> None:
    subsets = sts.load_task(str(DATA / "senteval"), task)
    assert sum(map(len, subsets)) == OFFICIAL[task][0]
    assert all(path.is_file() for path in sts.task_files(str(DATA / "senteval"), task))


@needs_data
def test_official_dev_sets() -> None:
    assert len(sts.load_dev(str(DATA / "senteval"))) == 1500
    assert [len(sts.load_split(str(DATA / "senteval"), "sickr", split)) for split in ("train", "dev", "test")] == [
        4500,
        500,
        4927,
    ]
    languages = sts.languages(DATA / "stsb_multi_mt")
    assert {"de", "ja", "zh"} <= set(languages)
    english, dev = sts.load_multilingual_dev(DATA / "stsb_multi_mt", "en"), sts.load_dev(str(DATA / "senteval"))
    np.testing.assert_array_equal(english.gold, dev.gold)
    assert all(len(sts.load_multilingual_dev(DATA / "stsb_multi_mt", lang)) == 1500 for lang in languages)
