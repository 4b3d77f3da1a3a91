"""`report`, `compare` and `plan`: they read records and print; nothing here trains or imports torch."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from nlcse_tune.cli import options
from nlcse_tune.errors import ConfigError
from nlcse_tune.files import named
from nlcse_tune.names import Correction, ReportFormat, TestName

Configs = Annotated[
    list[str] | None,
    Option("--config", help="which of a study's configurations, by the start of its run ids", metavar="STUDY=ID"),
]


Test = Annotated[
    TestName | None, Option(help="another test than the study declares, as exploratory [default: the declared]")
]
Notes = Annotated[bool, Option("--notes", help="print the notes on tests, data and limits too")]
Margin = Annotated[
    float | None,
    Option(min=0.001, help="of given scores: the gap that does not matter, in their own unit [default: 0.5]"),
]


def report(
    studies: Annotated[
        list[str] | None,
        Argument(
            help="studies [default: all with test scores under --out]",
            metavar="[STUDY]...",
            autocompletion=options.studies_that_begin,
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        Option("--from", help="in place of studies: scores of runs trained elsewhere", metavar="SCORES.csv"),
    ] = None,
    baseline: Annotated[
        str | None, Option(help="of given scores: the method to compare with [default: the first]", metavar="METHOD")
    ] = None,
    margin: Margin = None,
    test: Test = None,
    correct: Annotated[
        Correction, Option(help="holm: the declared tests of all methods are one family, not each study's")
    ] = "none",
    format: Annotated[
        ReportFormat, Option("--format", help="what is printed; every format is written to files")
    ] = "terminal",
    notes: Notes = False,
    pairs: Annotated[
        int,
        Option(min=0, help="resamples of sentence pairs, for the test sets' own error; 1000 is plenty"),
    ] = 0,
    config: Configs = None,
    any_version: options.AnyVersion = False,
    figures: Annotated[bool, Option("--figures", help="draw the figures too (2 to 4 s more)")] = False,
    write: Annotated[
        bool, Option(help="write files to OUT/STUDY/report, of given scores to OUT/NAME-scores/report")
    ] = True,
    out: options.Records = Path("runs"),
) -> None:
    """Verdict, tables and figures from the records of `seeds`: mean ± std, p, effect size, what they can show."""
    from nlcse_tune import report as reports
    from nlcse_tune.cli import show
    from nlcse_tune.paths import StudyPaths, studies_with_tests

    if files and len(files) > 1:
        one = "put all methods' rows into one file, or take `nlcse-tune compare A.csv B.csv`"
        raise ConfigError(f"--from: must be one file, got {', '.join(map(str, files))}; {one}")
    given, choose = files[0] if files else None, options.parse_configurations(config)
    how = reports.ReportOptions(test, correct, pair_resamples=pairs, any_version=any_version, choose=choose)
    if given is None:
        options.refuse("without --from", {"--baseline": baseline, "--margin": margin})
        made = reports.build(studies or _known_studies(studies_with_tests(out)), out, how)
    else:
        options.refuse("with --from", {"STUDY": studies, "--pairs": pairs, "--config": config})
        folder = StudyPaths(out, f"{given.stem}-scores").report
        made = reports.build_given(reports.read_scores(given), folder, how, baseline=baseline, margin=margin)
    if format == "terminal":
        show.console.print(reports.terminal(made, notes=notes))
    else:
        render = {
            "markdown": reports.markdown, "latex": reports.latex, "csv": reports.summary_csv, "json": reports.as_json,
        }  # fmt: skip
        echo(named(render[format](made)), nl=False)
    if write:
        files = reports.write_report(made, figures=figures)
        echo(named(f"written to {files[0].parent}: {', '.join(file.name for file in files)}"), err=True)
    if format == "terminal":
        show.next_step(
            made, studies[0] if studies and len(studies) == 1 else None, out, config, any_version=any_version
        )


def _known_studies(named: list[str]) -> list[str]:
    """Those that have a YAML file by their name; the others, of YAML files elsewhere, are told of."""
    from nlcse_tune.study import names

    known = names("studies")
    for name in named:
        if name not in known:
            echo(f"{name}: left out, no study has this name; give its YAML file to report it", err=True)
    return [name for name in named if name in known]


def compare(
    baseline: Annotated[str, Argument(help="of the baseline: mean,std,n or a file", metavar="MEAN,STD,N|SCORES.csv")],
    method: Annotated[str, Argument(help="of the method", metavar="MEAN,STD,N|SCORES.csv")],
    test: Annotated[TestName | None, Option(help="of two files [default: welch]")] = None,
    margin: Margin = None,
    notes: Notes = False,
) -> None:
    """The tests that published numbers allow (`compare 75.74,0.90,5 76.96,0.38,5`), or two files of scores."""
    files = [Path(text) for text in (baseline, method) if Path(text).suffix.lower() in (".csv", ".tsv", ".txt")]
    if len(files) == 1:
        raise ConfigError(f"{baseline} {method}: must be MEAN,STD,N twice, or two files of scores")
    if files:
        from nlcse_tune import report as reports
        from nlcse_tune.cli import show

        how = reports.ReportOptions(test)
        made = reports.build_given(reports.read_pair(*files), files[1].parent, how, margin=margin)
        show.console.print(reports.terminal(made, notes=notes))
        return
    options.refuse("with MEAN,STD,N", {"--test": test, "--margin": margin, "--notes": notes})
    from nlcse_tune.report.plan import compare_words, parse_summary

    for line in compare_words(parse_summary(baseline), parse_summary(method)):
        echo(line)


def plan(
    study: Annotated[
        str,
        Argument(help="a study with a few tested seeds", metavar="STUDY", autocompletion=options.studies_that_begin),
    ],
    gap: Annotated[float, Option(min=0.001, help="true gap on the average, in points, that is worth finding")] = 1.0,
    power: Annotated[float, Option(min=0.01, max=0.999, help="chance of finding it")] = 0.8,
    alpha: Annotated[float, Option(min=0.0001, max=0.5, help="level of the test")] = 0.05,
    config: Configs = None,
    any_version: options.AnyVersion = False,
    out: options.Records = Path("runs"),
) -> None:
    """From a few seeds: how many a stated gap takes, and how many GPU hours."""
    from nlcse_tune.cli import show
    from nlcse_tune.report import plan as plans
    from nlcse_tune.report.arms import Arm, collect, task_order
    from nlcse_tune.report.build import check_chosen
    from nlcse_tune.study import find_study

    chosen, starts = find_study(study), options.parse_configurations(config)
    studies = {item.name: item for item in [chosen, *([find_study(chosen.baseline)] if chosen.baseline else [])]}
    if unknown := starts.keys() - studies.keys():
        raise ConfigError(f"--config {min(unknown)}: not a study of this plan ({', '.join(studies)})")

    @cache
    def arm(name: str) -> Arm:
        return collect(studies[name], out, choose=starts.get(name, ""), any_version=any_version)

    check_chosen(arm, studies)
    arms = [arm(name) for name in studies]
    spread = plans.spread(arms[0], arms[1] if arms[1:] else None, task_order(arms), any_version=any_version)
    unit = plans.unit(arms)
    columns = (
        "gap>",
        "Welch>",
        "Welch, cautious>",
        "paired>",
        "paired, cautious>",
        f"{unit} in all>",
        f"{unit} still to run>",
    )
    table = show.table(*columns, title=f"{chosen.name}: seeds per arm")

    def row(name: str, seeds: Sequence[int | None]) -> None:
        cost = plans.hours(arms, seeds[0]) if seeds[0] else None
        cells = [str(n) if n else "-" for n in seeds]
        times = [show.duration(3600 * spent) for spent in cost] if cost else ["-", "-"]
        table.add_row(name, *cells, *times)

    for size, seeds in plans.seeds_by_gap(spread, sorted({*plans.GAPS, gap}), power=power, alpha=alpha).items():
        row(f"{size:g}{' *' if size == gap else ''}", seeds)
    equal = plans.seeds_for_equivalence(spread, chosen.confirm.margin, power=power, alpha=alpha)
    row(f"within ±{chosen.confirm.margin:g}", equal)
    show.console.print(table)
    for line in plans.plan_words(spread, gap, study=chosen.name, power=power, alpha=alpha):
        show.console.print(f"- {line}", soft_wrap=False)
