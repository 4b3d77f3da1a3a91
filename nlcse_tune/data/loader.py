"""Side batches, each begun one step before it is asked for, on the threads of `train.loader_threads`.

V views, b items of this worker; row v * b + i of a batch is view v of item i.
"""

import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlcse_tune.data.side import VIEWS, SideData

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them
UnderWay = tuple[Iterator[None], Callable[[], Tensor]]


def keep_freed_memory() -> None:
    """From now on glibc keeps up to a gigabyte of freed memory for this process, in place of 128 kB to 64 MB.

    What it hands back and gets anew is page faults, which take as long as all the arithmetic of a view.
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)  # the most that it takes


class SideLoader:
    """The batches of one worker.

    `items` and `generator` say which items make up a step, and from what each draws. On a CPU two batches take turns in
    memory: a fresh one would cost more in page faults than the resizing does. Where the device makes the views, its
    allocator keeps pinned memory until it was copied.
    """

    def __init__(
        self, data: SideData, items: Callable[[int], NDArray[np.int64]],
        generator: Callable[[int, int], np.random.Generator], device: str, threads: int,
    ) -> None:  # fmt: skip
        self.data, self.items, self.generator, self.device = data, items, generator, torch.device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.pool = ThreadPoolExecutor(threads, "nlcse-side") if threads else None
        self.begun: dict[int, UnderWay] = {}
        self.memory: list[Tensor] = []  # batches (V, b, C, H, W), the one that waits longest first

    def load(self, step: int) -> Tensor:
        """The views (R, C, H, W) of a step, on the device; on a CPU they last until the next are loaded."""
        if step not in self.begun:
            self.wait()
            self.begun = {step: self._begin(step)}
        done, ready = self.begun.pop(step)
        self.begun = {step + 1: self._begin(step + 1)}  # while this step is computed
        deque(done, maxlen=0)
        return ready()

    def _begin(self, step: int) -> UnderWay:
        """Threads begin the batch now; without threads each of its items is made when the batch is asked for."""
        items = self.items(step)
        put, ready = self._on_cpu(len(items)) if self.device.type == "cpu" else self._on_device(len(items))
        numbers = range(len(items))

        def one(place: int) -> None:
            put(place, int(items[place]), self.generator(step, place))

        return (self.pool.map if self.pool else map)(one, numbers), ready

    def _on_cpu(self, count: int) -> tuple[Callable[..., None], Callable[[], Tensor]]:
        batch = self.memory.pop(0) if len(self.memory) == 2 else torch.empty(VIEWS, count, *self.data.shape)
        self.memory.append(batch)

        def put(place: int, item: int, rng: np.random.Generator) -> None:
            self.data.render(item, rng, batch[:, place])

        return put, partial(batch.flatten, 0, 1)

    def _on_device(self, count: int) -> tuple[Callable[..., None], Callable[[], Tensor]]:
        room = self.data.room(count, pinned=self.device.type == "cuda")
        return partial(self.data.fill, room), partial(self.data.render_all, room, self.device)

    def wait(self) -> None:
        """Until what was begun is made: no thread writes into memory that may be handed out again."""
        for done, _ in self.begun.values() if self.pool else ():
            deque(done, maxlen=0)

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
        self.begun.clear()
        self.memory.clear()
