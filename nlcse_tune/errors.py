"""The errors a user can meet, and how they are worded. Each gives the value, the rule and the next step."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

VERBOSE = "NLCSE_VERBOSE"  # of the environment; `-v` sets it for one call


class NlcseError(Exception):
    """Anything this tool refuses or fails at; the CLI prints it without a traceback."""


class ConfigError(NlcseError):
    """What people wrote: a study, a search space, an override, an option."""


class DataError(NlcseError):
    """What is on disk: a missing file, a bad line, an unreadable image."""


class RunError(NlcseError):
    """What happened while a run, a search or an evaluation was under way."""


class StorageError(RunError):
    """What cannot be written: a full disk, a read-only or vanished folder. It ends a search: no run did it."""


def all_of(steps: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each step returns; where some raise ConfigError, one ConfigError with the problems of all."""
    results: list[Any] = []
    raised: list[ConfigError] = []
    for step in steps:
        try:
            results.append(step())
        except ConfigError as error:
            raised.append(error)
    if len(raised) == 1:
        raise raised[0]  # with its own traceback
    if raised:
        raise ConfigError("\n".join(map(str, raised))) from raised[0]
    return results


def reason_of(error: Exception) -> str:
    """Why transformers or sentence-transformers did not load a model, in a few words."""
    text = str(error).strip()
    if "custom code" in text or "trust_remote_code" in text:
        return "it brings code of its own, `auto_map` in its files, which this tool does not run"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def this_command() -> str:
    """The command that this process runs, as it may be typed again."""
    return shlex.join(["nlcse-tune", *sys.argv[1:]])


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name closest to `name`, else an empty string."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""


def plural(count: float, noun: str) -> str:
    """`1 seed`, `5 seeds`, `0.5 GPUs`."""
    return f"{count if isinstance(count, int) else f'{count:g}'} {noun}{'' if count == 1 else 's'}"


def verbose() -> bool:
    """Whether somebody wants more than messages: tracebacks of our own errors, and all that Ray prints."""
    return bool(os.environ.get(VERBOSE))


_interruptions: list[tuple[int, str]] = []


def interrupt(number: int, why: str = "") -> None:
    """Ends this process in order, as Ctrl-C does, because of the signal `number`."""
    # Ray raises a KeyboardInterrupt of its own in the place of one that met it waiting.
    _interruptions.append((number, why or f"ended by {signal.Signals(number).name}"))
    raise KeyboardInterrupt


def interrupted_status() -> int:
    """The exit status of a process that was interrupted: 128 + the signal's number."""
    return 128 + (_interruptions[0][0] if _interruptions else signal.SIGINT)


def interrupted_why() -> str:
    """What interrupted this process, in a few words."""
    return _interruptions[0][1] if _interruptions else "interrupted"


def end_in_order() -> None:
    """From now on SIGTERM and SIGHUP end this process as Ctrl-C does.

    Ray's own answer to them is to abort with the stack of its C++. A signal that is ignored (`nohup`) stays so.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: interrupt(number))
