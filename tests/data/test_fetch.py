"""Data sets from a server on this machine that plays the hub and the other publishers."""

import bz2
import gzip
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import soundfile
from huggingface_hub import constants, hf_hub_download
from PIL import Image
from pyarrow import parquet

from nlcse_tune.data import fetch as module
from nlcse_tune.data.fetch import fetch, place_of, prepare, verify
from nlcse_tune.data.manifest import Manifest, manifest_path
from nlcse_tune.data.prepare import Recipe
from nlcse_tune.data.registry import DATA_SETS, LANGUAGES, DataSet, File, HubFiles, how_to_get, named
from nlcse_tune.data.wikipedia import plain, sentences
from nlcse_tune.errors import ConfigError, DataError, RunError
from nlcse_tune.paths import data_folder
from nlcse_tune.study import find_study
from tests.data.made import ROW, cifar10, senteval
from tests.data.test_archive import archive
from tests.data.test_wikipedia import GERMAN, dump, page
from tests.publisher import BadDay, Publisher, publishing

WIKI = b"a\nb\nc\n"


@pytest.fixture(autouse=True)
def few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of three items."""
    for name in ("wiki1m", "nli", "wiki-de"):
        monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], items=3))


def on_hub(hub: Publisher, name: str, content: bytes) -> None:
    source = named(name).source
    assert isinstance(source, HubFiles)
    hub.on_hub(source.repository, source.path, content, source.revision)


def at(publisher: Publisher, monkeypatch: pytest.MonkeyPatch, name: str, **files: bytes) -> DataSet:
    """A data set whose files have addresses on this machine, and no known checksum."""
    sources = tuple(File(publisher.put(f"/{file}", content)) for file, content in files.items())
    monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], source=sources))
    return DATA_SETS[name]


def test_a_text_is_downloaded_once_and_recorded(hub: Publisher, tmp_path: Path) -> None:
    on_hub(hub, "wiki1m", WIKI)
    fetched = fetch("wiki1m")
    place = tmp_path / "cache/data/text/wiki1m_for_simcse.txt"
    assert fetched == (place, module.Contents(["3 items"], []))
    assert place.read_bytes() == WIKI
    manifest = Manifest.read(place)
    assert manifest is not None
    assert list(manifest.downloads) == list(manifest.source)
    assert manifest.brief.startswith("wiki1m ")
    assert sorted(path.name for path in place.parent.iterdir()) == [
        place.name, f"{place.name}.manifest.json", f"{place.name}.sha256"
    ]  # fmt: skip
    hub.asked.clear()
    assert fetch("wiki1m") == fetched
    assert hub.asked == []  # what is there is not even asked for
    assert not list((data_folder() / ".downloads").glob("*/*"))


def test_source_licence_and_size_are_told_before_a_byte_is_asked_for(hub: Publisher) -> None:
    on_hub(hub, "wiki1m", WIKI)
    told: list[tuple[str, int]] = []
    fetch("wiki1m", say=lambda line: told.append((line, len(hub.asked))))
    assert [line.split(":")[0].strip() for line, _ in told] == ["wiki1m", "source", "licence", "download", "to come"]
    assert [asked for _, asked in told] == [0, 0, 0, 0, 1]  # the size is the hub's answer
    assert told[-1][0] == "  to come: 0.0 MB in 1 file"


def test_a_shipped_study_finds_what_was_fetched(
    hub: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    on_hub(hub, "wiki1m", WIKI)
    study = find_study("simcse-bert")
    assert study.with_overrides({}).config.text.data == str(tmp_path / "data/text/wiki1m_for_simcse.txt")
    place, _ = fetch("wiki1m")
    assert study.with_overrides({}).config.text.data == str(place)
    monkeypatch.setenv("NLCSE_DATA", str(tmp_path / "big"))
    place, _ = fetch("wiki1m")
    assert place == tmp_path / "big/text/wiki1m_for_simcse.txt"
    assert study.with_overrides({}).config.text.data == str(place)
    own = tmp_path / "data/text/wiki1m_for_simcse.txt"  # where one works comes first, as it always did
    own.parent.mkdir(parents=True)
    own.write_bytes(WIKI)
    assert study.with_overrides({}).config.text.data == str(own)
    assert place_of(named("wiki1m")) == own


def test_every_place_of_a_shipped_study_has_a_data_set() -> None:
    study = find_study("visualcse-bert").config
    for value in (study.text.data, study.eval.data, study.side.data if study.side else ""):
        assert how_to_get(Path(value)), value
    assert how_to_get(Path("/x/data/audio/librispeech-50")) == "; run `nlcse-tune data fetch librispeech50`"
    assert "data prepare imagenet60 --from FOLDER`" in how_to_get(Path("data/images/sampled-imagenet"))
    assert how_to_get(Path("data/photographs")) == ""


def test_rows_of_a_quoted_csv(hub: Publisher, tmp_path: Path) -> None:
    on_hub(hub, "nli", b'sent0,sent1,hard_neg\na,b,c\n"d\ne",f,g\nh,i,j\n')
    assert fetch("nli", tmp_path / "nli.csv")[1].counts == ["3 items"]


def test_a_wrong_count_leaves_nothing(hub: Publisher, tmp_path: Path) -> None:
    on_hub(hub, "wiki1m", b"a\nb\n")
    with pytest.raises(DataError, match=r"2 items, but wiki1m has 3"):
        fetch("wiki1m", tmp_path / "to" / "wiki.txt")
    assert not list((tmp_path / "to").iterdir())


def test_another_file_in_the_place_is_not_overwritten(hub: Publisher, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("my own\n")
    with pytest.raises(DataError, match="move it away"):
        fetch("wiki1m", tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "my own\n"


def test_the_hubs_own_checksum_is_compared(hub: Publisher, tmp_path: Path) -> None:
    on_hub(hub, "wiki1m", WIKI)
    (remote,) = module.remote_files(named("wiki1m"))
    assert remote.sha256 is not None
    part = data_folder() / ".downloads/wiki1m/wiki1m_for_simcse.txt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"a\nX\n")  # bytes of another file, gone on with
    with pytest.raises(DataError, match="must be"):
        fetch("wiki1m")
    assert fetch("wiki1m")[1].counts == ["3 items"]  # from the beginning


def test_large_files_of_the_hub_lie_elsewhere(hub: Publisher) -> None:
    """As on the real one, which answers with a redirection that has the checksum."""
    on_hub(hub, "wiki1m", WIKI)
    with publishing() as other:
        hub.elsewhere = f"{other.address}/elsewhere"
        other.files.update(hub.files)
        other.bad_days = [BadDay(cut=2)]
        (remote,) = module.remote_files(named("wiki1m"))
        assert (remote.size, len(remote.sha256 or "")) == (6, 64)
        assert fetch("wiki1m")[1].counts == ["3 items"]
    assert other.asked == ["GET", "GET bytes=2-"]


def test_no_such_file(hub: Publisher, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"wiki1m_for_simcse\.txt: cannot be downloaded \(RemoteEntryNotFoundError: 404"):
        fetch("wiki1m", tmp_path / "wiki.txt")


def test_the_hub_in_need_of_a_pause(hub: Publisher, tmp_path: Path) -> None:
    """Its own client waits for the metadata, a second longer than asked."""
    on_hub(hub, "wiki1m", WIKI)
    busy = {"status": 429, "headers": {"Retry-After": "0"}}
    hub.bad_days = [BadDay(**busy, method="HEAD"), BadDay(**busy)]  # type: ignore[arg-type]
    assert fetch("wiki1m")[1].counts == ["3 items"]


def test_offline_is_told_and_the_hubs_cache_used(
    hub: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_hub(hub, "wiki1m", WIKI)
    source = named("wiki1m").source
    assert isinstance(source, HubFiles)
    monkeypatch.setitem(DATA_SETS, "wiki1m", replace(named("wiki1m"), source=replace(source, revision="0" * 40)))
    on_hub(hub, "wiki1m", WIKI)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    for name in ("wiki1m", "fsdd"):
        with pytest.raises(DataError, match=f"{name}: is not at .* HF_HUB_OFFLINE says that this machine is offline"):
            fetch(name)
    assert hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hf_hub_download(source.repository, source.path, repo_type="dataset", revision="0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("wiki1m")[1].counts == ["3 items"]


def test_the_first_download_is_trusted_and_later_ones_must_equal_it(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    files = {f"stsb-{language}-dev.csv": b'"a","b",1\n"c","d",2\n' for language in LANGUAGES}
    at(publisher, monkeypatch, "stsb_multi_mt", **files)
    said: list[str] = []
    place, contents = fetch("stsb_multi_mt", say=said.append)
    assert contents.counts[0] == "de: 2 scored pairs"
    assert "  checksum: none is known of 10 files: this download is trusted, and remembered" in said
    assert verify("stsb_multi_mt").problems == []
    for path in place.iterdir():
        path.unlink()
    publisher.put("/stsb-zh-dev.csv", b'"a","b",1\n"c","d",3\n')
    with pytest.raises(DataError, match=r"stsb-zh-dev.csv: its sha256 is [0-9a-f]+, and must be"):
        fetch("stsb_multi_mt")


def test_sentevals_archive_goes_where_studies_look(hub: Publisher, tmp_path: Path) -> None:
    dev = ROW.format(1) + ROW.format(2)
    on_hub(hub, "senteval", archive(senteval()))
    (tmp_path / "senteval" / "MR").mkdir(parents=True)
    (tmp_path / "senteval" / "MR" / "old").write_text("from an earlier download")
    (tmp_path / "senteval" / "mine.txt").write_text("my own")
    folder, contents = fetch("sts", tmp_path / "senteval")  # as early versions called it
    assert (folder / "STS/STSBenchmark/sts-dev.csv").read_text() == dev
    assert sorted(p.name for p in (folder / "MR").iterdir()) == ["rt-polarity.neg", "rt-polarity.pos"]
    assert (folder / "mine.txt").read_text() == "my own"
    assert "sts-dev: 2 scored pairs" in contents.counts
    assert any(warning.startswith("sts12: ") for warning in contents.warnings)  # other numbers than the official ones
    names = sorted(p.name for p in tmp_path.iterdir() if p.name != "cache")
    assert names == ["senteval", "senteval.manifest.json", "senteval.sha256"]  # nothing temporary is left


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive({"../../escape": "x"}), "leads out of its folder"),
        (archive({"downstream/other": "x"}), "holds no folder STS"),
        (b"<html>", "not a tar archive"),
    ],
)
def test_unsafe_or_foreign_archive(hub: Publisher, tmp_path: Path, content: bytes, message: str) -> None:
    on_hub(hub, "senteval", content)
    with pytest.raises(DataError, match=message):
        fetch("senteval", tmp_path / "senteval")
    assert not (tmp_path / "senteval").exists()
    assert not (tmp_path / ".senteval.making").exists()


def test_a_wikipedia_of_the_hub(hub: Publisher) -> None:
    for shard in range(2):
        table = pyarrow.table({
            "id": ["1"] * 4,
            "title": [f"Titel {shard} {number}" for number in range(4)],
            "text": ["Das ist ein ganzer Satz. Und dies ist noch einer.\n\nWeblinks"] * 4,
        })  # fmt: skip
        parquet.write_table(table, stream := io.BytesIO())
        hub.on_hub("wikimedia/wikipedia", f"20231101.de/train-0000{shard}-of-00002.parquet", stream.getvalue())
    place, contents = fetch("wiki-de")
    assert contents.counts == ["3 items"]
    title, *sentences = place.read_text().splitlines()
    assert title.startswith("Titel ")
    assert sentences == ["Das ist ein ganzer Satz.", "Und dies ist noch einer."]
    manifest = Manifest.read(place)
    assert manifest is not None
    assert (manifest.recipe, len(manifest.downloads)) == ("seed 42", 2)


def test_a_wikipedia_of_ones_own_dump(tmp_path: Path) -> None:
    (tmp_path / "dewiki.xml.bz2").write_bytes(bz2.compress(dump(page("Köln"), page("Bonn"), page("Talk", ns=1))))
    place, contents = prepare("wiki-de", tmp_path / "dewiki.xml.bz2", Recipe(seed=7))
    assert contents.counts == ["3 items"]
    assert set(place.read_text().splitlines()) < {"Köln", "Bonn", *sentences(plain(GERMAN), "de")}
    manifest = Manifest.read(place)
    assert manifest is not None
    assert (manifest.recipe, manifest.source) == ("seed 7", (str(tmp_path / "dewiki.xml.bz2"),))


def test_what_is_there_was_made_of_another_seed(tmp_path: Path) -> None:
    (dump_file := tmp_path / "dewiki.xml").write_bytes(dump(page("Köln"), page("Bonn")))
    place, contents = prepare("wiki-de", dump_file, Recipe(seed=7))
    assert prepare("wiki-de", dump_file, Recipe(seed=7)) == (place, contents)
    with pytest.raises(DataError, match=r"wiki-de.txt: is there, made otherwise \(seed 7\); move it away"):
        prepare("wiki-de", dump_file, Recipe(seed=8))
    with pytest.raises(DataError, match="none: no such file or folder"):
        prepare("wiki-de", tmp_path / "none", Recipe(seed=7))
    manifest_path(place).unlink()
    with pytest.raises(DataError, match=r"made otherwise \(by another hand\)"):
        prepare("wiki-de", dump_file, Recipe(seed=7))


def test_an_empty_or_foreign_folder_is_no_data_set(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    at(publisher, monkeypatch, "cifar10", **{"cifar-10-binary.tar.gz": cifar10()})
    (place := place_of(named("cifar10"))).mkdir(parents=True)
    (place / "mine").mkdir()
    (place / "mine" / "a.wav").touch()
    with pytest.raises(DataError, match="cifar10: holds no image files in folders of classes, so it is not cifar10"):
        fetch("cifar10")
    assert publisher.asked == []
    (place / "mine" / "a.wav").unlink()
    (place / "mine").rmdir()
    assert fetch("cifar10")[1].counts == ["image: 20 files in 2 classes of 10"]
    with pytest.raises(DataError, match="something else is there"):
        (place.with_name("file")).touch()
        fetch("cifar10", place.with_name("file"))
    assert publisher.asked == ["GET"]


def test_downloads_that_a_kill_left_are_cleared_away(hub: Publisher) -> None:
    on_hub(hub, "wiki1m", WIKI)
    fetch("wiki1m")
    folder = data_folder() / ".downloads/wiki1m"
    folder.mkdir()
    (folder / "wiki1m_for_simcse.txt").write_bytes(WIKI)
    (folder / "other.part").touch()  # of a call that goes on
    fetch("wiki1m")
    assert len(list(folder.iterdir())) == 2
    (folder / "other.part").unlink()
    fetch("wiki1m")
    assert not folder.exists()


def test_cifar10_is_written_as_pictures(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    at(publisher, monkeypatch, "cifar10", **{"cifar-10-binary.tar.gz": cifar10()})
    place, contents = fetch("cifar10")
    assert contents.counts == ["image: 20 files in 2 classes of 10"]
    records = np.random.default_rng(0).integers(0, 256, (4, 3073), dtype=np.uint8)  # of the first part
    with Image.open(place / "airplane" / "00003.png") as picture:  # red, then green, then blue, row by row
        assert picture.getpixel((5, 2)) == tuple(records[3, 1 + channel * 1024 + 2 * 32 + 5] for channel in range(3))
    assert verify("cifar10").problems == []
    (place / "airplane" / "00000.png").write_bytes(b"")
    (place / "airplane" / "00003.png").unlink()
    (place / "airplane" / "mine.png").write_bytes(b"")
    assert verify("cifar10").problems == [
        "cifar10/airplane/00003.png: missing",
        "cifar10/airplane/00000.png: changed",
        "cifar10/airplane/mine.png: not of the data set",
    ]


def test_spoken_digits_are_sorted_by_speaker(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    noise = np.random.default_rng(0).uniform(-1, 1, 2000)  # archives of silence are refused: they unpack to too much
    soundfile.write(stream := io.BytesIO(), noise, 8000, format="WAV")
    clips = {f"fsdd-1/recordings/{d}_{who}_0.wav": stream.getvalue() for d in range(3) for who in ("george", "lucas")}
    at(publisher, monkeypatch, "fsdd", **{"v1.0.10.tar.gz": gzip.compress(archive({**clips, "fsdd-1/README": "x"}))})
    place, contents = fetch("fsdd")
    assert contents.counts == ["audio: 6 files in 2 classes of 3"]
    assert sorted(path.name for path in (place / "lucas").iterdir()) == [f"{d}_lucas_0.wav" for d in range(3)]


def test_what_only_people_can_get_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"imagenet60: ImageNet is given to people alone: register at .* data prepare"
    ):
        fetch("imagenet60")
    with pytest.raises(DataError, match=r"none: no such file or folder. ImageNet is given to people alone"):
        prepare("imagenet60", tmp_path / "none")
    with pytest.raises(ConfigError, match="wiki2m: no such data set; did you mean 'wiki1m'"):
        fetch("wiki2m")
    assert "made on the spot" in fetch("demo")[1].counts[0]


def test_a_text_of_ones_own_download_is_prepared(tmp_path: Path) -> None:
    (tmp_path / "downloaded.txt").write_bytes(WIKI)
    place, _ = prepare("wiki1m", tmp_path / "downloaded.txt")
    assert place.read_bytes() == WIKI
    assert verify("wiki1m").problems == []
    place.write_bytes(b"a\nb\nd\n")
    assert verify("wiki1m").problems == ["wiki1m_for_simcse.txt: changed"]
    manifest_path(place).unlink()
    said, problems = verify("wiki1m")
    assert "nothing is recorded of it: 3 items" in said
    assert problems == []
    place.unlink()
    assert verify("wiki1m").problems[0].endswith("run `nlcse-tune data fetch wiki1m`")
