"""Grafana's dashboard as typed code; `python -m deploy.grafana.build` writes nlcse-tune.json beside this file."""

from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

FILE = Path(__file__).with_name("nlcse-tune.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
STUDIES = 'study=~"$study"'
GAP = 120_000.0  # ms without a value over which a curve is drawn on: a scrape may be missed, a run begun again


def of_runs(metric: str) -> str:
    """One curve per run: a run that was begun again elsewhere goes on with its own."""
    return f"max by (label) (ray_{metric}{{{STUDIES}}})"


# Title, unit, what each curve is called, query, what it shows.
PANELS = [
    ("Dev score", "none", "{{label}}", of_runs("nlcse_dev"), "Newest dev score of each run under way, Spearman x 100."),
    (
        "Best so far",
        "none",
        "{{study}}",
        f"max by (study) (ray_nlcse_best_dev{{{STUDIES}}})",
        "Best dev score of any run of the command, those that ended counted.",
    ),
    (
        "Gain over no training",
        "none",
        "{{label}}",
        f"max by (label) (ray_nlcse_dev_best{{{STUDIES}}} - ray_nlcse_dev_before{{{STUDIES}}})",
        "Best dev score of each run less that before its first step.",
    ),
    ("Text loss", "none", "{{label}}", of_runs("nlcse_text_loss"), "Mean since the dev evaluation before the newest."),
    ("Side loss", "none", "{{label}}", of_runs("nlcse_side_loss"), "Likewise; runs without a side have none."),
    ("Sentences a second", "none", "{{label}}", of_runs("nlcse_sentences_per_second"), "Dev evaluations not counted."),
    ("Steps a second", "none", "{{label}}", of_runs("nlcse_steps_per_second"), "Dev evaluations not counted."),
    (
        "Share of the run",
        "percentunit",
        "{{label}}",
        f"max by (label) (ray_nlcse_step{{{STUDIES}}} / ray_nlcse_step_limit{{{STUDIES}}})",
        "Steps made, of all that the run will make.",
    ),
    ("Time left", "s", "{{label}}", of_runs("nlcse_seconds_left"), "Of each run, at its speed so far."),
    (
        "Runs by state",
        "none",
        "{{state}}",
        f"sum by (state) (max by (study, state) (ray_nlcse_runs{{{STUDIES}}}))",
        "Of the commands at work; lost: without a record, as its process died too often or time was up.",
    ),
    (
        "GPU memory",
        "bytes",
        "{{label}}",
        of_runs("nlcse_gpu_memory_bytes"),
        "The most that torch held of the leading worker's device; nothing on a CPU.",
    ),
]


def panel(title: str, unit: str, legend: str, query: str, description: str) -> timeseries.Panel:
    """One graph, a third of the screen wide."""
    target = prometheus.Dataquery().expr(query).legend_format(legend).range().ref_id("A")
    made = timeseries.Panel().title(title).description(description).unit(unit).datasource(SOURCE)
    made = made.with_target(target).span(8).height(9).span_nulls(GAP).draw_style(GraphDrawStyle.LINE)
    made = made.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull"])
    )
    if title == "Runs by state":
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    return made.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))


def build() -> str:
    """The dashboard as JSON."""
    made = (
        dashboard.Dashboard("nlcse-tune")
        .uid("nlcse-tune")
        .tags(["nlcse-tune", "ray"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("study")
            .label("study")
            .datasource(SOURCE)
            .query("label_values(ray_nlcse_runs, study)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
        )
    )
    for each in PANELS:
        made = made.with_panel(panel(*each))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


if __name__ == "__main__":
    FILE.write_text(build())
