"""`--submit`: the same command as a job on a Ray cluster, and what to say of it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from nlcse_tune.cli.command import TYPED
from nlcse_tune.errors import ConfigError
from nlcse_tune.storage import checked, is_address

NOT_SENT = ("submit", "address", "verbose")  # what concerns this call alone
NOT_HERE = ("show", "figures")  # what shows records, which are here or there


def submit_command(context: typer.Context, study: str, sets: Sequence[str] | None, space: str | None = None) -> None:
    """Hands the command of `context` to the cluster of its --address, and says how to look and how to stop."""
    from nlcse_tune.cli import show
    from nlcse_tune.study import find_study, resolve

    if asked := [name for name in NOT_HERE if context.params.get(name)]:
        raise ConfigError(f"--{asked[0]} and --submit: a job shows nothing here; leave one of them out")
    out = typed(context, "--out") or "runs"
    check_out(out)
    check_paths(study, sets)
    file, found = resolve("studies", study), find_study(study)
    spaces = resolve("search_spaces", space) if space else None
    words = words_of(context, study=file.stem, space=spaces.stem if spaces else None, out=out)
    with show.screen.status(f"{found.name}: handing it to the cluster"):
        from nlcse_tune.launch.submit import submit
        from nlcse_tune.launch.whereabouts import dashboard_at

        address = context.params["address"] or os.environ.get("RAY_ADDRESS") or "auto"
        job = submit(words, file, spaces, found.name, dashboard_at(address))
    token = "RAY_AUTH_MODE=token " if job.dashboard.asks_for_token() else ""
    ray, at = f"{token}{sys.executable} -m ray.scripts.scripts", f"{job.name} --address {job.dashboard.url}"
    for line in (
        f"{found.name}: submitted as job {job.name}; records will be in {out}/{found.name}",
        f"dashboard: nlcse-tune dashboard --address {job.dashboard.url}",
        f"its output: {ray} job logs --follow {at}",
        f"to stop it: {ray} job stop {at}",
        f"or, where {out} is seen: nlcse-tune stop {found.name} --out {out}; likewise status and logs",
        "stopped or not, the same command goes on from the records",
    ):
        show.console.print(line, markup=False, soft_wrap=True)


def words_of(context: typer.Context, **instead: str | None) -> list[str]:
    """The words that call the command of `context` again, with other values `instead`; defaults are left out."""
    words = [str(context.info_name)]
    for parameter in context.command.params:
        name: Any = parameter.name
        value = instead.get(name) or context.params.get(name)
        if name in NOT_SENT or value in (None, False, parameter.default):
            continue
        option = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
        for each in value if isinstance(value, list | tuple) else [value]:
            words += option if each is True else [*option, str(each)]
    return words


def typed(context: typer.Context, option: str) -> str | None:
    """The value of an option as it was typed: an address is not what the command makes of it here."""
    words = context.meta[TYPED]
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word == option or word.startswith(f"{option}="):
            return str(value if word == option else word.partition("=")[2])
    return None


def check_out(out: str) -> None:
    """ConfigError where `--out` means something else on the cluster than here, or holds what a job may not show."""
    if is_address(out):
        checked(out)
    if "://" not in out and not Path(out).is_absolute():
        raise ConfigError(
            f"--out {out}: is relative, and a job's own folder goes with it; give an absolute folder that the "
            "cluster's head and nodes see, or an address, for instance s3://bucket/runs"
        )


def check_paths(study: str, sets: Sequence[str] | None) -> None:
    """ConfigError where the study's data lie at a path that the cluster cannot see."""
    from nlcse_tune.config import SCRATCH, SYNTHETIC
    from nlcse_tune.config.fields import assignments, inputs, override
    from nlcse_tune.study import find_study

    for field, value in inputs(override(find_study(study).config, assignments(sets or ()))).items():
        if value in (SCRATCH, SYNTHETIC) or Path(value).is_absolute():
            continue
        if not field.endswith("checkpoint") or Path(value).exists():  # else a hub's name
            raise ConfigError(
                f"{field}: {value} is relative, and data do not travel with --submit; give the path at which the "
                f"cluster's nodes see it: --set {field}=/..."
            )
