"""`seeds`: what is repeated, what each run came to, what a stopping rule says, and the report."""

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Exit, Option

from nlcse_tune.cli import options
from nlcse_tune.errors import ConfigError, interrupted_status, interrupted_why

ORIGINS = {
    "search": "as its search chose",
    "study": "as its YAML and --set say (it was not searched here)",
    "changed": "as its YAML and --set say (its last search was made with other values than these)",
    "baseline": "as its baseline's search chose, under its control (it has no search of its own)",
    "method": "with the method's own text settings (it has no search of its own with these values)",
}


def seeds(
    context: Context,
    study: Annotated[
        str | None,
        Argument(help="a study [default: the one searched last]", autocompletion=options.studies_that_begin),
    ] = None,
    n: Annotated[
        int | None,
        Option(
            "--n", min=2, help="seeds 1 to n for the method and for its baseline [default: as the study says, or 5]"
        ),
    ] = None,
    seed_list: Annotated[str | None, Option("--seeds", help="these seeds instead: 7,8,9")] = None,
    until_decided: Annotated[
        bool, Option(help="add fresh seeds in rounds, first --n of them, under a rule that keeps the error rate")
    ] = False,
    maximum: Annotated[
        int | None, Option("--max", min=2, help="most seeds of --until-decided [default: as the study says, or 20]")
    ] = None,
    any_version: options.AnyVersion = False,
    sets: options.Sets = None,
    workers: options.Workers = 1,
    concurrent: options.Concurrent = None,
    cpus_per_worker: options.CpusPerWorker = None,
    gpus_per_worker: options.GpusPerWorker = None,
    address: options.Address = None,
    track: options.Track = None,
    submit: options.Submit = False,
    out: options.Out = Path("runs"),
) -> None:
    """Repeat a study's best configuration and its baseline with several seeds, on the seven STS test sets."""
    from nlcse_tune.cli import show
    from nlcse_tune.launch.precision import expected, find
    from nlcse_tune.launch.preflight import check_precision, check_store
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.study import Rounds
    from nlcse_tune.tracking import trackers

    if until_decided and seed_list:
        raise ConfigError("--seeds and --until-decided: a stopping rule takes seeds of its own; leave --seeds out")
    if submit:
        from nlcse_tune.cli.submit import submit_command

        if study is None:
            raise ConfigError("STUDY: none was named, and --submit does not look for the one searched last; name one")
        submit_command(context, study, sets)
        return
    asked = options.parse_seeds(seed_list) if seed_list else ()
    study = study or _searched_last(out)
    chosen, values = options.chosen_study(study, sets)
    wanted = asked or tuple(range(1, (n or chosen.confirm.seeds or 5) + 1))
    paths, launch = StudyPaths(out, chosen.name), Launch(workers, cpus_per_worker, gpus_per_worker, concurrent, address)
    check_store(paths)
    watchers = trackers(chosen, paths, "seeds", track)
    check_precision([expected(chosen, paths).config.train.precision], paths, here=launch.here)
    with show.screen.status("reading the study"):
        from nlcse_tune import seeds as repeat
        from nlcse_tune.cli.show_seeds import ConsoleView, show_declared
    if (found := find(chosen, paths, launch, show.console.print)) is not None:
        chosen = chosen.with_precision(found.precision)
    arms = repeat.planned_arms(chosen, paths, values)
    for role, arm in zip(("method", "baseline"), arms, strict=False):
        show.console.print(f"{role}: {arm.study.name} ({arm.config.method}), {ORIGINS[arm.origin]}")
    confirm = chosen.confirm
    rounds = confirm.rule or Rounds()
    until_decided = until_decided or bool(confirm.rule and len(arms) > 1 and n is None and not seed_list)
    view = ConsoleView()
    with view:
        run = partial(
            repeat.run_seeds, arms, launch=launch, view=view, any_version=any_version, watchers=watchers, found=found
        )
        try:
            if until_decided:
                first, last = n or rounds.first, maximum or rounds.maximum
                repeat.until_decided(arms, first, last, launch=run, view=view, any_version=any_version)
            else:
                show_declared(repeat.declaration(arms, len(wanted)))
                run(wanted)
        except KeyboardInterrupt:
            show.console.print(f"{interrupted_why()}; finished runs are on record; the same command goes on from there")
            raise Exit(interrupted_status()) from None
    made = show.report([arm.study for arm in arms], out, repeat.report_options(arms, any_version=any_version))
    # `plan` knows no --set, so that it must be told which configurations are meant where there may be others.
    config = [f"{name}={start}" for name, start in made.options.choose.items()] if sets else None
    show.next_step(made, study, out, config, any_version=any_version)


def _searched_last(out: Path) -> str:
    """The study to repeat where none was named, as a name or a file; ConfigError where nothing was searched."""
    from nlcse_tune.cli import show
    from nlcse_tune.paths import StudyPaths, last_searched
    from nlcse_tune.study import names

    known = names("studies")
    if (last := last_searched(out)) is None:
        raise ConfigError(f"STUDY: none was named, and nothing was searched under {out}; name one: {', '.join(known)}")
    best = StudyPaths(out, last).best
    chosen = str(best) if last not in known and best.is_file() else last  # of a YAML file that lies elsewhere
    show.console.print(f"{chosen}: chosen since no STUDY was named, and this one was searched last under {out}")
    return chosen
