"""Data sets made of small folders in the publishers' real layouts."""

import bz2
import resource
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.data.fetch import prepare
from nlcse_tune.data.manifest import Manifest, described
from nlcse_tune.data.prepare import Recipe
from nlcse_tune.data.registry import DATA_SETS
from nlcse_tune.errors import DataError, StorageError
from nlcse_tune.training.context import RunContext

SYNSETS = [f"n0{number}440764" for number in range(5)]
SPEAKERS = ["103", "1034", "26", "8"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three synsets of four pictures, two speakers."""
    for name, classes, each in (("imagenet60", 3, 4), ("librispeech50", 2, None)):
        monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], classes=classes, each=each))


@pytest.fixture
def ilsvrc(tmp_path: Path) -> Path:
    """ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_10026.JPEG."""
    for place, name in enumerate(SYNSETS):
        folder = tmp_path / "ILSVRC/Data/CLS-LOC/train" / name
        folder.mkdir(parents=True)
        for number in range(6):
            picture = np.random.default_rng([place, number]).integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"{name}_{number}.JPEG", format="JPEG")
    return tmp_path / "ILSVRC"


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac."""
    for speaker in SPEAKERS:
        for chapter in ("1240", "1241"):
            folder = tmp_path / "LibriSpeech/train-clean-100" / speaker / chapter
            folder.mkdir(parents=True)
            (folder / f"{speaker}-{chapter}.trans.txt").write_text("0000 WORDS\n")
            for number in range(2):
                wave = np.sin(np.arange(8000) * (0.05 + 0.01 * number))
                soundfile.write(folder / f"{speaker}-{chapter}-{number:04d}.flac", wave, 16_000)
    return tmp_path / "LibriSpeech"


def made(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())


def test_classes_and_pictures_are_drawn_by_seed(ilsvrc: Path, tmp_path: Path) -> None:
    first, contents = prepare("imagenet60", ilsvrc, Recipe(seed=7), tmp_path / "a")
    assert contents.counts == ["image: 12 files in 3 classes of 4"]
    train = ilsvrc / "Data/CLS-LOC/train"
    again, _ = prepare("imagenet60", train, Recipe(seed=7), tmp_path / "b")
    other, _ = prepare("imagenet60", train, Recipe(seed=8), tmp_path / "c")
    assert made(first) == made(again) != made(other)
    assert all((train / name).read_bytes() == (first / name).read_bytes() for name in made(first))
    manifest, same = Manifest.read(first), Manifest.read(again)
    assert manifest is not None
    assert same is not None
    assert manifest.recipe == "3 classes x 4, seed 7"
    assert (manifest.fingerprint, manifest.sums != same.sums) == (same.fingerprint, True)  # a/n01... and b/n01...


def test_classes_of_a_list_are_taken(ilsvrc: Path, tmp_path: Path) -> None:
    place, _ = prepare("imagenet60", ilsvrc, Recipe(classes=(SYNSETS[0], SYNSETS[4])), tmp_path / "a")
    assert {path.name for path in place.iterdir()} == {SYNSETS[0], SYNSETS[4]}
    whole, _ = prepare("imagenet60", ilsvrc, Recipe(classes=tuple(SYNSETS)), tmp_path / "b")
    assert set(made(place)) < set(made(whole))  # what is drawn of a class does not hang on the others


def test_missing_and_short_classes_are_named(ilsvrc: Path, tmp_path: Path) -> None:
    for path in (ilsvrc / "Data/CLS-LOC/train" / SYNSETS[1]).iterdir():
        path.unlink()
    wanted = Recipe(classes=(SYNSETS[0], SYNSETS[1], "n09999999"))
    with pytest.raises(DataError, match=rf"2 of 3 classes are missing or empty: {SYNSETS[1]}, n09999999; unpack them"):
        prepare("imagenet60", ilsvrc, wanted)
    (ilsvrc / "Data/CLS-LOC/train" / SYNSETS[1] / "x.JPEG").touch()
    with pytest.raises(DataError, match=rf"fewer than 4 files in {SYNSETS[1]} \(1\); is the folder whole"):
        prepare("imagenet60", ilsvrc, Recipe(classes=(SYNSETS[1],)))
    with pytest.raises(DataError, match="0 folders of classes, and imagenet60 needs 3. ImageNet is given to people"):
        prepare("imagenet60", tmp_path / "ILSVRC/Data/CLS-LOC/train" / SYNSETS[0])


def test_the_archive_of_imagenet_is_to_be_unpacked_first(tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    with pytest.raises(DataError, match=r"train.tar: is a file, and folders of classes are wanted.*`for t in n\*.tar"):
        prepare("imagenet60", tmp_path / "ILSVRC2012_img_train.tar")


def test_speakers_keep_all_their_clips(librispeech: Path, tmp_path: Path) -> None:
    place, contents = prepare("librispeech50", librispeech, Recipe(seed=1), tmp_path / "a")
    assert contents.counts == ["audio: 8 files in 2 classes of 4"]
    assert all(len(list(speaker.iterdir())) == 4 for speaker in place.iterdir())
    named, _ = prepare("librispeech50", librispeech.parent, Recipe(classes=("26",)), tmp_path / "b")
    assert made(named) == [f"26/26-{chapter}-000{number}.flac" for chapter in (1240, 1241) for number in (0, 1)]


@pytest.mark.parametrize("name", ["imagenet60", "librispeech50"])
def test_one_broken_file_among_many(
    name: str, ilsvrc: Path, librispeech: Path, tmp_path: Path, tiny_config: RunConfig
) -> None:
    source, chosen = (ilsvrc, tuple(SYNSETS)) if name == "imagenet60" else (librispeech, tuple(SPEAKERS))
    broken = next(path for path in sorted(source.rglob("*_2.JPEG" if source == ilsvrc else "*0001.flac")))
    broken.write_bytes(broken.read_bytes()[:200])
    each = replace(DATA_SETS[name], each=None)  # so that it is drawn
    DATA_SETS[name], kept = each, DATA_SETS[name]
    try:
        with pytest.raises(DataError) as told:
            prepare(name, source, Recipe(classes=chosen))
        assert str(told.value).startswith(
            f"1 of {30 if name == 'imagenet60' else 16} files cannot be used:\n{broken}: "
        )
        assert "--skip-corrupt`, which leaves them out" in str(told.value)
        place, contents = prepare(name, source, Recipe(classes=chosen, skip_corrupt=True))
    finally:
        DATA_SETS[name] = kept
    assert not contents.warnings
    assert not list(place.rglob(broken.name))
    manifest = Manifest.read(place)
    assert manifest is not None
    assert [Path(name).name for name in manifest.skipped] == [broken.name]
    modality = "image" if name == "imagenet60" else "audio"
    config = override(tiny_config, {"side.data": str(place), "side.modality": modality})
    data = fingerprints(config)
    (told_by_record,) = described(config, data).values()
    assert told_by_record.startswith(f"{name} {data['side']}")
    assert told_by_record.endswith("; 1 broken file left out")
    (place / "more").mkdir()
    (place / "more" / "x.jpg").touch()
    assert described(config, fingerprints(config)) == {}  # it is none of ours any more


def test_the_record_of_a_run_names_it(ilsvrc: Path, tmp_path: Path, tiny_config: RunConfig) -> None:
    from nlcse_tune.run import run_one

    place, _ = prepare("imagenet60", ilsvrc)
    config = override(tiny_config, {"side.data": str(place), "train.max_steps": 1, "train.eval_every": 1})
    record = run_one(config, 1, RunContext(folder=tmp_path / "run"))
    assert record.sources == {"side": f"imagenet60 {record.data['side']} (3 classes x 4, seed 42)"}


def test_what_lies_there_is_kept(ilsvrc: Path) -> None:
    place, first = prepare("imagenet60", ilsvrc)
    assert prepare("imagenet60", ilsvrc) == (place, first)
    with pytest.raises(DataError, match=r"is there, made otherwise \(3 classes x 4, seed 42\); move it away"):
        prepare("imagenet60", ilsvrc, Recipe(seed=1))


def test_an_archive_beside_what_was_unpacked_of_it_is_left_alone(
    ilsvrc: Path, librispeech: Path, tmp_path: Path
) -> None:
    train = ilsvrc / "Data/CLS-LOC/train"
    for name in SYNSETS:  # as the printed instructions leave them
        subprocess.run(["tar", "-cf", f"{name}.tar", name], cwd=train, check=True)
    place, _ = prepare("imagenet60", train, to=tmp_path / "a")
    assert len(list(place.iterdir())) == 3
    (librispeech.parent / "train-clean-100.tar.gz").write_bytes(b"cut")
    place, _ = prepare("librispeech50", librispeech.parent, to=tmp_path / "b")
    assert len(list(place.iterdir())) == 2


def test_an_archive_that_nobody_has_unpacked_is(librispeech: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    subprocess.run(["tar", "-czf", "given/x.tar.gz", "LibriSpeech"], cwd=tmp_path, check=True)
    place, _ = prepare("librispeech50", tmp_path / "given", to=tmp_path / "b")
    assert len(list(place.iterdir())) == 2


def test_a_source_that_cannot_be_read_is_not_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/stsb-de-dev.csv").mkdir()
    with pytest.raises(DataError, match="given: no file in it ends in .csv; of such stsb_multi_mt is made"):
        prepare("stsb_multi_mt", tmp_path / "given")
    (tmp_path / "given" / "dewiki.xml.bz2").write_bytes(bz2.compress(b"<mediawiki></mediawiki>"))
    (tmp_path / "given" / "dewiki-index.txt.bz2").write_bytes(bz2.compress(b"600:10:Titel"))
    with pytest.raises(DataError, match="given: holds 0 sentences"):  # the index is none of it
        prepare("wiki-de", tmp_path / "given")


def test_a_name_that_is_too_long_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="xxx: no such file or folder"):
        prepare("cifar10", tmp_path / ("x" * 300))
    with pytest.raises(StorageError, match="xxx: cannot be written: File name too long; .*choose another --to"):
        prepare("cifar10", tmp_path, to=tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "airplane airplane", "x" * 300])
def test_names_of_cifar10_lead_nowhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/batches.meta.txt").write_text(f"dog\n{name}\n")
    with pytest.raises(DataError, match=r"batches.meta.txt: .* must be the name of one class"):
        prepare("cifar10", tmp_path / "given")
    assert not (tmp_path / "x").exists()


def test_a_disk_that_takes_no_more(ilsvrc: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # bytes of a file: the kernel refuses the rest
    try:
        with pytest.raises(StorageError, match="File too large; free space or choose another --data"):
            prepare("imagenet60", ilsvrc)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "cache/data/images").iterdir())


def test_what_a_kill_left_is_cleared_away(ilsvrc: Path, tmp_path: Path) -> None:
    left = tmp_path / "cache/data/images/.sampled-imagenet.making/n00000000"
    left.mkdir(parents=True)
    place, _ = prepare("imagenet60", ilsvrc)
    assert not left.parent.exists()
    assert len(list(place.iterdir())) == 3


def test_captions_of_flickr30k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLCSE_DATA", str(tmp_path / "data"))
    (tmp_path / "given").mkdir()
    token = tmp_path / "given" / "results_20130124.token"
    token.write_text("1.jpg#0\tTwo young guys .\n1.jpg#1\tGuys\tin a yard .\n2.jpg#0\tA bus .\n")
    prepare("flickr30k", tmp_path / "given")
    place = tmp_path / "data" / "text" / "flickr30k_captions.txt"
    assert place.read_text().splitlines() == ["Two young guys .", "Guys\tin a yard .", "A bus ."]
    manifest = Manifest.read(place)
    assert manifest is not None
    assert "flickr30k" in manifest.brief
    place.unlink()
    token.write_text("1.jpg#0\tTwo young guys .\nA bus .\n")
    with pytest.raises(DataError, match=r"results_20130124.token:2: must be picture#number, a tab and a caption, got"):
        prepare("flickr30k", tmp_path / "given")
    assert not place.exists()
