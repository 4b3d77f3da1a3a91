"""Inputs are read through before a run: what is wrong is named, and what is whole is read once."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data import catalog, check
from nlcse_tune.data.check import broken, check_inputs, check_side, modalities_in
from nlcse_tune.data.folder import list_folder
from nlcse_tune.errors import DataError

Read = list[str]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            noise = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.jpg")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The names of the files that are read."""
    names: Read = []
    reader = check.READERS["image"]
    monkeypatch.setitem(check.READERS, "image", lambda path: (names.append(path.name), reader(path)))
    return names


def with_side(config: RunConfig, folder: Path, **changes: object) -> RunConfig:
    return override(config, {"side.data": str(folder), **{f"side.{name}": value for name, value in changes.items()}})


def cut(path: Path) -> None:
    """Takes the end of a picture away: its header is whole."""
    path.write_bytes(path.read_bytes()[:-400])


def test_broken_files_are_found_before_training_and_the_first_few_named(pictures: Path, tiny_config: RunConfig) -> None:
    config = with_side(tiny_config, pictures)
    check_inputs([config])
    for path in sorted(pictures.rglob("*.jpg"))[:7]:
        cut(path)
    with pytest.raises(DataError, match=r"cat/0.jpg: not readable as an image \(.*truncated") as told:
        check_inputs([config])
    lines = str(told.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == f"and 2 more: `nlcse-tune data check {pictures}` names all"


def test_only_what_is_new_is_read(pictures: Path, tiny_config: RunConfig, read: Read) -> None:
    configs = [with_side(tiny_config, pictures, loss=loss) for loss in ("supcon", "simclr")]
    check_inputs(configs)
    assert len(read) == 8
    check_inputs(configs)
    assert len(read) == 8
    os.utime(pictures / "dog" / "3.jpg", ns=(1, 1))
    Image.new("RGB", (20, 20)).save(pictures / "cat" / "new.jpg")
    check_inputs(configs)
    assert sorted(read[8:]) == ["3.jpg", "new.jpg"]


def test_a_broken_file_is_read_again_until_it_is_mended(pictures: Path, read: Read) -> None:
    files, _ = list_folder(pictures, (".jpg",))
    cut(pictures / "cat" / "2.jpg")
    for _ in range(2):
        assert len(broken("image", pictures, files)) == 1
    assert read[8:] == ["2.jpg"]
    Image.new("RGB", (20, 20)).save(pictures / "cat" / "2.jpg")
    assert broken("image", pictures, files) == []


def test_an_interrupted_pass_goes_on_where_it_was(pictures: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = list_folder(pictures, (".jpg",))
    reader = check.READERS["image"]

    def interrupted(path: Path) -> None:
        if path.name == "3.jpg":
            raise KeyboardInterrupt
        reader(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(check.READERS, "image", interrupted)
        broken("image", pictures, files)
    del read[:]
    broken("image", pictures, files)
    assert len(read) == 5  # cat's first three are known


def test_other_bounds_are_another_check(pictures: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = list_folder(pictures, (".jpg",))
    broken("image", pictures, files)
    monkeypatch.setattr(check, "_BOUNDS", "others")
    broken("image", pictures, files)
    assert len(read) == 16


def test_a_long_pass_says_so(pictures: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(check, "SAID_FROM", 8)
    with caplog.at_level(logging.WARNING):
        check_side("image", pictures)
        check_side("image", pictures)
    assert [record.message for record in caplog.records] == [
        f"{pictures}: reading 8 files once, to find broken ones before training"
    ]


def test_a_link_to_nowhere_is_named(pictures: Path) -> None:
    (pictures / "cat" / "9.jpg").symlink_to("nowhere.jpg")
    count, problems = check_side("image", pictures)
    assert count == "image: 9 files in 2 classes of 4 to 5"
    assert [problem.split(":")[0] for problem in problems] == [str(pictures / "cat" / "9.jpg")]


def test_rules_of_every_configuration_hold(pictures: Path, tmp_path: Path, tiny_config: RunConfig) -> None:
    check_inputs([tiny_config])  # synthetic
    with pytest.raises(DataError, match="8 items do not fill one batch; side.batch_size is 9"):
        check_inputs([with_side(tiny_config, pictures, batch_size=8), with_side(tiny_config, pictures, batch_size=9)])
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "cat").symlink_to(pictures / "cat")
    check_inputs([with_side(tiny_config, tmp_path / "one", loss="simclr")])
    with pytest.raises(DataError, match="one: holds one class, and side.loss supcon learns from items of different"):
        check_inputs([with_side(tiny_config, tmp_path / "one", loss=loss) for loss in ("simclr", "supcon")])
    text = tmp_path / "text.txt"
    text.write_text("one\ntwo\n" * 20)
    tiny_config = override(tiny_config, {"text.objective": "unsupervised"})
    check_inputs([override(tiny_config, {"text.data": str(text)})])
    with pytest.raises(DataError, match=r"text.txt: 40 rows do not fill one batch; text.batch_size is 41"):
        check_inputs([override(tiny_config, {"text.data": str(text), "text.batch_size": 41})])
    with pytest.raises(DataError, match="none.txt: no such file; set text.data"):
        check_inputs([override(tiny_config, {"text.data": str(tmp_path / "none.txt")})])


def test_a_checkpoint_that_cannot_be_had_is_named_before_anything_else(tiny_config: RunConfig) -> None:
    """These tests are offline."""
    gone = {"text.data": "none.txt", "side.checkpoint": "nosuch/vit"}
    with pytest.raises(DataError, match=r"side.checkpoint: nosuch/vit.* was not asked \(HF_HUB_OFFLINE\).*HF_HOME"):
        check_inputs([override(tiny_config, gone)])
    with pytest.raises(DataError, match=r"encoder.checkpoint: ./nosuch: no folder of this name, .* cannot have one"):
        check_inputs([override(tiny_config, {"encoder.checkpoint": "./nosuch"})])


def test_a_big_text_is_read_once_for_each_objective(
    tmp_path: Path, tiny_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "SETTLED", -3600.0)
    text = tmp_path / "text.txt"
    text.write_text("a sentence of some length, and then more of it\n" * 30_000)
    config = override(tiny_config, {"text.data": str(text), "text.objective": "unsupervised"})
    check_inputs([config])
    monkeypatch.setattr(check, "read_columns", lambda *arguments: pytest.fail("read twice"))
    check_inputs([config])
    with pytest.raises(pytest.fail.Exception, match="read twice"):
        check_inputs([override(config, {"text.objective": "supervised"})])


def test_a_side_folder_is_told_from_sentevals(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "senteval" / "STS").mkdir(parents=True)
    (tmp_path / "senteval" / "STS" / "a.txt").touch()
    assert modalities_in(tmp_path / "senteval") == []
    assert modalities_in(pictures) == ["image"]
    (tmp_path / "clips" / "anna" / "chapter").mkdir(parents=True)
    soundfile.write(tmp_path / "clips" / "anna" / "chapter" / "a.FLAC", np.zeros(8000), 8000)
    assert modalities_in(tmp_path / "clips") == ["audio"]
    assert check_side("audio", tmp_path / "clips") == ("audio: 1 files in 1 class of 1", [])
