"""SentEval's transfer files: tiny ones made here, broken ones, and the real ones where they are."""

from pathlib import Path

import pytest

from nlcse_tune.data import transfer
from nlcse_tune.data.lines import OFFICIAL, MissingDataError, count_warning
from nlcse_tune.data.transfer import TRANSFER_TASKS, TransferTask
from nlcse_tune.errors import DataError
from tests.shared_data import DATA, needs_data


def write(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def test_binary_sets_are_latin1_and_in_sentevals_order(tmp_path: Path) -> None:
    write(tmp_path / "MR/rt-polarity.pos", b"caf\xe9  au lait\nfine\n")
    write(tmp_path / "MR/rt-polarity.neg", b"bad\n\ntwo words\n")
    loaded = transfer.load_transfer(str(tmp_path), "mr")
    assert loaded[0].columns[0] == ["", "bad", "fine", "two words", "café au lait"]
    assert loaded[0].labels.tolist() == [0, 0, 1, 0, 1]
    assert len(loaded) == 1
    assert "mr: 5 items, but officially there are 10662" in (count_warning("mr", (len(loaded[0]),)) or "")


def test_sst_has_three_splits(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        write(tmp_path / f"SST/binary/sentiment-{split}", f"{split} good \t1\nbad\t0\n".encode())
    loaded = transfer.load_transfer(str(tmp_path), "sst2")
    assert [part.columns[0][1] for part in loaded] == ["train good", "dev good", "test good"]


def test_trec_keeps_the_coarse_class(tmp_path: Path) -> None:
    write(tmp_path / "TREC/train_5500.label", b"NUM:dist How far is it ?\nHUM:ind Who caf\xe9 ?\n")
    write(tmp_path / "TREC/TREC_10.label", b"DESC:def What is an atom ?\nLOC:city Where ?\n")
    loaded = transfer.load_transfer(str(tmp_path), "trec")
    assert loaded[0].columns[0] == ["Who café ?", "How far is it ?"]
    assert loaded[0].labels.tolist() == [3, 5]


def test_mrpc_is_pairs_under_a_header(tmp_path: Path) -> None:
    for split in ("train", "test"):
        text = '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t1\t2\ta "b\tc d\r\n0\t3\t4\te\tf\r\n'
        write(tmp_path / f"MRPC/msr_paraphrase_{split}.txt", text.encode())
    loaded = transfer.load_transfer(str(tmp_path), "mrpc")
    assert loaded[0].columns[0] == ["e", 'a "b']
    assert loaded[0].columns[1] == ["f", "c d"]


@pytest.mark.parametrize(
    ("task", "file", "content", "message"),
    [
        (
            "sst2",
            "SST/binary/sentiment-train",
            b"good\t1\nbad\n",
            r"sentiment-train:2: must have 2 tab-separated columns",
        ),
        ("sst2", "SST/binary/sentiment-train", b"good\t2\n", r"sentiment-train:1: the label must be 0 or 1, got '2'"),
        ("sst2", "SST/binary/sentiment-train", b"caf\xe9\t1\n", r"sentiment-train:1: not UTF-8 \(byte 0xe9\)"),
        ("sst2", "SST/binary/sentiment-train", b"a\t1\nb\t1\n", r"2 items with a single class"),
        ("trec", "TREC/train_5500.label", b"NUM:dist How ?\nXYZ:a b\n", r"train_5500\.label:2: must be CLASS:detail"),
        ("trec", "TREC/train_5500.label", b"NUM:dist\n", r"train_5500\.label:1: must be CLASS:detail and a question"),
        ("mrpc", "MRPC/msr_paraphrase_train.txt", b"head\n1\t2\t3\ta\n", r"msr_paraphrase_train\.txt:2: must have 5"),
    ],
)
def test_broken_files(tmp_path: Path, task: TransferTask, file: str, content: bytes, message: str) -> None:
    write(tmp_path / file, content)
    with pytest.raises(DataError, match=message):
        transfer.load_transfer(str(tmp_path), task)


@pytest.mark.parametrize("task", TRANSFER_TASKS)
def test_missing(tmp_path: Path, task: TransferTask) -> None:
    with pytest.raises(MissingDataError, match="not found: run `nlcse-tune data fetch senteval`"):
        transfer.load_transfer(str(tmp_path), task)


@needs_data
@pytest.mark.parametrize("task", TRANSFER_TASKS)
def test_official_counts(task: TransferTask) -> None:
    loaded = transfer.load_transfer(str(DATA / "senteval"), task)
    assert tuple(map(len, loaded)) == OFFICIAL[task]


def test_the_embedded_tasks_have_the_parts_and_classes_of_the_real_ones() -> None:
    parts = {task: transfer.load_transfer("synthetic", task) for task in TRANSFER_TASKS}
    assert {task: len(own) for task, own in parts.items()} == {task: len(OFFICIAL[task]) for task in TRANSFER_TASKS}
    assert {int(label) for part in parts["trec"] for label in part.labels} == set(range(6))
    assert {len(part.columns) for part in parts["mrpc"]} == {2}
    assert {int(label) for task in ("mr", "sst2", "mrpc") for part in parts[task] for label in part.labels} == {0, 1}
    again = transfer.load_transfer("synthetic", "mr")
    assert again[0].columns == parts["mr"][0].columns
