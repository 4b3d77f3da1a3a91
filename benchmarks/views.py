"""What pictures and clips cost, against one sample at a time as the released code's loaders make them: ratios first.

    python -m benchmarks.views [--images FOLDER] [--audio FOLDER] [--items 192] [--rounds 5]

photographs, small pictures   both views of each item in floats, as the embedding wants them: from this code's cache in
                 loader threads, and by torchvision's transforms from the file, in this process or two of its own
clips            the masked filter bank of each item, twice: from the cache, and by torchaudio from the file
cache            decoding and making smaller 1,000 photographs, on all cores, once a machine

Every figure is the median of the rounds, which go through the ways in turn. Folders: ImageNet's photographs, CIFAR-10
and spoken digits beside the checkout where they are, else pictures and tones that are made here. torch computes on one
core a thread.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from benchmarks.peers import Clips, Pictures, SideFiles
from nlcse_tune.data import synthetic
from nlcse_tune.data.audio import AudioData
from nlcse_tune.data.image import ImageData
from nlcse_tune.data.loader import SideLoader
from nlcse_tune.data.side import SideData

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def in_processes(theirs: type[SideFiles], files: Sequence[Path], pool: ProcessPoolExecutor | None) -> None:
    """One sample after another, here or in a pool's processes, which keep what they make."""
    if pool is None:
        _all(theirs(files))
    else:
        list(pool.map(_all, [theirs(files[start::2]) for start in range(2)]))


def _all(samples: SideFiles) -> None:
    for number in range(len(samples)):
        samples[number]


def loaded(loader: SideLoader, step: Iterator[int], batches: int) -> None:
    """So many batches of this code's: the first is there from the call before, and one more is made for the next."""
    for _ in range(batches):
        loader.load(next(step))
    loader.wait()


def compared(what: str, data: SideData, theirs: type[SideFiles], items: int, rounds: int, size: int = 48) -> None:
    """A line a way."""
    assert data.files is not None
    files, batches = list(islice(cycle(data.files), items)), items // size
    order = np.arange(size) * (len(data) // size)
    loaders = {
        threads: SideLoader(
            data, lambda step: (order + step) % len(data), lambda step, place: np.random.default_rng([step, place]),
            "cpu", threads,
        ) for threads in (1, 2)
    }  # fmt: skip
    with ProcessPoolExecutor(2, get_context("fork"), torch.set_num_threads, (1,)) as pool:
        ways: dict[str, Callable[[], Any]] = {
            "a sample at a time, 1 process": partial(in_processes, theirs, files, None),
            "a sample at a time, 2 processes": partial(in_processes, theirs, files, pool),
            "this code, 1 thread": partial(loaded, loaders[1], iter(range(10**6)), batches),
            "this code, 2 threads": partial(loaded, loaders[2], iter(range(10**6)), batches),
        }
        seconds = timed(ways, rounds)
    for loader in loaders.values():
        loader.close()
    print(what)
    for name, own in seconds.items():
        base = seconds[f"a sample at a time, {'1 process' if '1' in name else '2 processes'}"]
        made = items if "sample" in name else batches * size
        print(f"  {name:44}{made * 2 / own:9,.0f} views/s {base / own * made / items:7.2f}x{own / made * 500:8.2f} ms")


def timed(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median seconds of each, the ways taking turns; a first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(own[1:]) for name, own in seconds.items()}


def cache(files: Sequence[Path], rounds: int) -> None:
    """1,000 photographs, by links to those that there are."""
    seconds, size = [], 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for number, path in enumerate(islice(cycle(files), 1000)):
                (place := Path(folder, "pictures", str(number % 2))).mkdir(parents=True, exist_ok=True)
                (place / f"{number}.jpg").symlink_to(path)
            data, os.environ["NLCSE_CACHE"] = ImageData(Path(folder, "pictures")), folder
            started = time.perf_counter()
            size = data.table.values.nbytes
            seconds.append(time.perf_counter() - started)
    print(f"cache\n  {'1,000 photographs, once a machine':44}{median(seconds):9.1f} s       {size / 1e6:9.0f} MB")


def made(folder: Path, size: tuple[int, int]) -> Path:
    """200 pictures of two classes with the grain of photographs."""
    for number in range(200):
        (place := folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(synthetic.image(number % 6, number)).resize(size)
        picture.save(place / f"{number}.jpg", quality=90)
    return folder


def spoken(folder: Path) -> Path:
    """200 tones of two speakers."""
    for number in range(200):
        (place := folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{number}.wav", synthetic.tone(number % 2, number), synthetic.SAMPLE_RATE)
    return folder


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=SHARED / "images" / "imagenet_samples")
    parser.add_argument("--audio", type=Path, default=SHARED / "audio" / "fsdd")
    parser.add_argument("--items", type=int, default=192, help="of a round, at least 48")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, small = Path(name), SHARED / "images" / "cifar10"
        os.environ["NLCSE_CACHE"] = str(folder / "cache")
        large = options.images if options.images.is_dir() else made(folder / "large", (480, 400))
        small = small if small.is_dir() else made(folder / "small", (32, 32))
        audio = options.audio if options.audio.is_dir() else spoken(folder / "audio")
        print(f"{'':46}{'':17}{'ratio':>8}{'a view':>11}", flush=True)
        compared("photographs", ImageData(large), Pictures, options.items, options.rounds)
        compared("small pictures", ImageData(small), Pictures, options.items, options.rounds)
        compared("clips", AudioData(audio), Clips, options.items, options.rounds)
        cache([path.resolve() for path in ImageData(large).files or ()], min(3, options.rounds))


if __name__ == "__main__":
    main()
