"""What every command has beside its own options: `-v`, and an answer to an option that it does not know."""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from typer import Option
from typer.core import TyperCommand

from nlcse_tune.errors import VERBOSE
from nlcse_tune.storage import refresh

Verbose = Annotated[bool, Option("--verbose", "-v", help="the traceback of an error too, and all that Ray prints")]


TYPED = "nlcse_tune.typed"  # in a context's meta: the words after the command's name


class Command(TyperCommand):
    """Keeps what was typed; proposes, for an option that it does not know, those that begin like it, or are like it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[TYPED] = list(args)
        args = less_out(args) if "--submit" in args else args  # a store that the cluster sees need not be seen here
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # click's NoSuchOption, which some versions of Typer carry within themselves
            known = [name for parameter in self.params for name in parameter.opts]
            longer = [name for name in known if name.startswith(getattr(error, "option_name", None) or " ")]
            if longer and hasattr(error, "possibilities"):
                error.possibilities = longer
            raise


def less_out(words: list[str]) -> list[str]:
    """The words without `--out` and its value."""
    before = ["", *words[:-1]]
    return [word for last, word in zip(before, words, strict=True) if "--out" not in (last, word.partition("=")[0])]


def be_verbose(asked: bool) -> None:
    """Makes this process verbose where that is asked for."""
    if asked:
        os.environ[VERBOSE] = "1"


def with_verbose(function: Callable[..., None]) -> Callable[..., None]:
    """The function with `-v` among its options, so that it may stand before the command's name or after it.

    Where its `--out` is an address, what the store has is brought down before.
    """

    @wraps(function)
    def command(*, verbose: bool, **options: Any) -> None:
        be_verbose(verbose)
        if "out" in options:
            refresh(options["out"])
        function(**options)

    own = inspect.signature(function)
    added = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose)
    vars(command)["__signature__"] = own.replace(parameters=[*own.parameters.values(), added])
    command.__annotations__ = {**function.__annotations__, "verbose": Verbose}
    return command
