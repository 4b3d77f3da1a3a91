"""The data sets of the paper's tables: what each is, whose, under which licence, and where it lies.

A checksum stands here only where a publisher's own, or one that independent programs carry, is known. Of the others the
first download is trusted and remembered (data/manifest.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nlcse_tune.data import bounds
from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.names import DataName

Kind = Literal["text", "triplets", "evaluation", "translations", "image", "audio", "embedded"]
LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pl", "pt", "ru", "zh")  # of stsb_multi_mt
SENTENCES = 1_000_000
_SIMCSE, _SIMCSE_AT = "princeton-nlp/datasets-for-simcse", "e145e8bb659b2aa2669f32ef79cb4cdef6c58fef"
_STSB = "https://raw.githubusercontent.com/PhilipMay/stsb-multi-mt/30de0dec4ee199b7f42351d3f1a0b19592955385/data"
_STSB_SHA256 = {"en": "d29586e96558c4eb52cf5ea5d14e9c24d3bf0e44f111b017caba43a5adc33226"}
_IMAGENET = (
    "ImageNet is given to people alone: register at https://image-net.org/download.php, accept its terms, download "
    "ILSVRC2012_img_train.tar (138 GB), unpack it and the archive of each class in it "
    "(`for t in n*.tar; do mkdir ${t%.tar} && tar -xf $t -C ${t%.tar}; done`), then run "
    "`nlcse-tune data prepare imagenet60 --from FOLDER`, FOLDER being that of the classes or ILSVRC itself"
)
_FLICKR = (
    "Flickr30k is given to people alone: ask for it at https://shannon.cs.illinois.edu/DenotationGraph, unpack "
    "flickr30k.tar.gz, which holds results_20130124.token (a line each: picture#number, a tab, the caption), then run "
    "`nlcse-tune data prepare flickr30k --from FOLDER`, FOLDER being that of the file"
)


@dataclass(frozen=True)
class HubFiles:
    """A file of a data set on the Hugging Face hub; of a path that ends in a slash, every file of the folder."""

    repository: str
    path: str
    revision: str = "main"


@dataclass(frozen=True)
class File:
    """A file at an address; size in bytes and checksum where they are known beforehand."""

    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class DataSet:
    """One data set. `place` is below the data folder, as studies have it behind `data/`."""

    name: DataName
    kind: Kind
    what: str
    place: str
    page: str
    licence: str
    source: HubFiles | tuple[File, ...] | None = None
    size: str = ""  # of the download, in words
    items: int | None = None  # of a text: lines, or rows under a header
    classes: int | None = None  # drawn from those that there are
    each: int | None = None  # items drawn of a class; None: all
    unpacks: int = bounds.UNPACKED_BYTES  # at most
    by_hand: str = ""  # what only people can do

    @property
    def files(self) -> tuple[File, ...]:
        """Those at addresses that are known beforehand."""
        return self.source if isinstance(self.source, tuple) else ()

    @property
    def joined(self) -> bool:
        """Whether it may share its folder with sets of one's own."""
        return self.kind in ("evaluation", "translations")

    @property
    def command(self) -> str:
        """How to get it."""
        if self.source is None:
            return f"nlcse-tune data prepare {self.name} --from FOLDER"
        return f"nlcse-tune data fetch {self.name}"


def _wikipedia(language: str, name: DataName, in_english: str, size: str) -> DataSet:
    return DataSet(
        name, "text", f"{in_english} Wikipedia, 1,000,000 sentences of articles drawn by seed (Table 5)",
        f"text/wiki-{language}.txt", "https://huggingface.co/datasets/wikimedia/wikipedia",
        "CC BY-SA 3.0 and GFDL (Wikipedia's)", HubFiles("wikimedia/wikipedia", f"20231101.{language}/"), size,
        items=SENTENCES,
    )  # fmt: skip


_SETS = (
    DataSet(
        "wiki1m", "text", "English Wikipedia, SimCSE's 1,000,000 sentences", "text/wiki1m_for_simcse.txt",
        f"https://huggingface.co/datasets/{_SIMCSE}", "CC BY-SA (Wikipedia's); the repository states none of its own",
        HubFiles(_SIMCSE, "wiki1m_for_simcse.txt", _SIMCSE_AT), "120 MB", items=SENTENCES,
    ),
    DataSet(
        "nli", "triplets", "SNLI and MultiNLI, SimCSE's 275,601 triplets", "text/nli_for_simcse.csv",
        f"https://huggingface.co/datasets/{_SIMCSE}",
        "SNLI: CC BY-SA 4.0; MultiNLI: OANC's and others, by genre; the repository states none of its own",
        HubFiles(_SIMCSE, "nli_for_simcse.csv", _SIMCSE_AT), "49 MB", items=275_601,
    ),
    DataSet(
        "senteval", "evaluation", "the STS sets, SICK and the transfer tasks, as SimCSE has them", "senteval",
        f"https://huggingface.co/datasets/{_SIMCSE}", "each set has its own, most of them for research alone",
        HubFiles(_SIMCSE, "senteval.tar", _SIMCSE_AT), "90 MB",
    ),
    _wikipedia("de", "wiki-de", "German", "about 6 GB"),
    _wikipedia("fr", "wiki-fr", "French", "about 5 GB"),
    _wikipedia("ru", "wiki-ru", "Russian", "about 5 GB"),
    _wikipedia("zh", "wiki-zh", "Chinese", "about 2 GB"),
    DataSet(
        "stsb_multi_mt", "translations", "STS-B dev, translated by machine into nine languages (Table 5)",
        "stsb_multi_mt", "https://github.com/PhilipMay/stsb-multi-mt",
        "scores: CC BY-SA 4.0; texts: those of their sources, see the LICENSE there",
        tuple(File(f"{_STSB}/stsb-{one}-dev.csv", sha256=_STSB_SHA256.get(one)) for one in LANGUAGES), "2 MB",
    ),
    DataSet(
        "cifar10", "image", "CIFAR-10, the 50,000 training pictures (Table H.1)", "images/cifar10",
        "https://www.cs.toronto.edu/~kriz/cifar.html", "none stated; cite Krizhevsky (2009)",
        (File("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", 170_052_171,
              "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
        "170 MB",
    ),
    DataSet(
        "imagenet60", "image", "ImageNet, 500 pictures of each of 60 classes, drawn by seed or list",
        "images/sampled-imagenet", "https://image-net.org/download.php",
        "ImageNet's terms of access: research and education, not commercial",
        size="138 GB, by hand", classes=60, each=500, by_hand=_IMAGENET,
    ),
    DataSet(
        "librispeech50", "audio", "LibriSpeech, train-clean-100, all clips of 50 speakers, drawn by seed or list",
        "audio/librispeech-50", "https://www.openslr.org/12/", "CC BY 4.0",
        (File("https://www.openslr.org/resources/12/train-clean-100.tar.gz", 6_387_309_499,
              "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"),),
        "6.4 GB", classes=50, unpacks=10**10,
    ),
    DataSet(
        "fsdd", "audio", "Free Spoken Digit Dataset, 3,000 clips of 6 speakers", "audio/fsdd",
        "https://github.com/Jakobovski/free-spoken-digit-dataset", "CC BY-SA 4.0",
        (File("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"),),
        "about 15 MB",
    ),
    DataSet(
        "flickr30k", "text", "the captions of Flickr30k, some 150,000 (Table D.1)", "text/flickr30k_captions.txt",
        "https://shannon.cs.illinois.edu/DenotationGraph",
        "research and education, not commercial (its form); the pictures are their photographers'",
        size="by hand", by_hand=_FLICKR,
    ),
    DataSet(
        "demo", "embedded", "sentences of a small grammar, shapes and tones, made on the spot", "",
        "nlcse_tune/data/synthetic.py", "Apache 2.0, as this tool", size="nothing",
    ),
)  # fmt: skip
DATA_SETS: dict[str, DataSet] = {one.name: one for one in _SETS}
_FORMER = {"sts": "senteval"}  # what early versions called it


def named(name: str) -> DataSet:
    """The data set of a name; ConfigError names those that there are."""
    found = DATA_SETS.get(_FORMER.get(name, name))
    if found is None:
        raise ConfigError(f"{name}: no such data set{nearest(name, DATA_SETS)}; known: {', '.join(DATA_SETS)}")
    return found


def how_to_get(path: Path) -> str:
    """`"; run `nlcse-tune data fetch wiki1m`"` for a path where a data set would lie; empty for one's own."""
    for one in DATA_SETS.values():
        parts = Path(one.place).parts
        if parts and path.parts[-len(parts) :] == parts:
            return f"; run `{one.command}`"
    return ""
