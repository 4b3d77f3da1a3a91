"""One call from model and data to tables and JSON; what is missing is named, and the rest still runs."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console, RenderableType
from typer.testing import CliRunner, Result

from nlcse_tune.cli.main import app
from nlcse_tune.cli.show_evaluation import COLUMNS, SCHEMA, render, render_csv, render_hits, render_json
from nlcse_tune.cli.watched import Lines
from nlcse_tune.config import STS_TASKS, SYNTHETIC
from nlcse_tune.data import synthetic
from nlcse_tune.data.lines import MissingDataError
from nlcse_tune.data.transfer import TRANSFER_TASKS
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.evaluation import sts
from nlcse_tune.evaluation.evaluate import EvaluationResult, evaluate, expand_tasks
from nlcse_tune.evaluation.retrieval import Hit
from nlcse_tune.models.encoder import load_encoder, save_encoder
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import read_openings
from tests.models.tiny import checkpoint

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint as a run leaves it."""
    folder = tmp_path_factory.mktemp("model")
    save_encoder(load_encoder(checkpoint("bert", tmp_path_factory), pooler="avg"), folder)
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """STS-B, German STS-B dev and CR, as small as they can be; nothing else."""
    root = tmp_path_factory.mktemp("data")
    folder, german, cr = root / "senteval/STS/STSBenchmark", root / "stsb_multi_mt", root / "senteval/CR"
    for made in (folder, german, cr):
        made.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        rows = synthetic.sts_pairs(split, 30)
        lines = [f"main\tx\t2012\t{i}\t{gold}\t{a}\t{b}\n" for i, (a, b, gold) in enumerate(rows)]
        (folder / f"sts-{split}.csv").write_text("".join(lines))
    (german / "stsb-de-dev.csv").write_text("".join(f'"{a}",{b},{g}\n' for a, b, g in synthetic.sts_pairs("de", 20)))
    sentences = synthetic.sentences(40)
    (cr / "custrev.pos").write_text("\n".join(sentences[:20]) + "\n")
    (cr / "custrev.neg").write_text("\n".join(sentences[20:]) + "\n")
    return str(root / "senteval")


@pytest.fixture(scope="module")
def partial(model: str, data: str) -> EvaluationResult:
    """What there is of everything that was asked for."""
    return evaluate(model, ["sts,sts-dev,stsb-de", "cr,mr,geometry"], data, device="cpu")


def text(what: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=200, highlight=False).print(what)
    return out.getvalue()


def test_scoring_a_studys_run_on_a_test_set_is_noted(model: str, data: str, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "mine")
    best = paths.run("0123456789ab-s7").best
    shutil.copytree(model, best.with_name("best-000040"))
    best.symlink_to("best-000040")  # as a run leaves it
    paths.records.mkdir()
    evaluate("0123456789ab-s7", ["sts-dev"], data, out=tmp_path, device="cpu")
    assert read_openings(paths) == ([], 0)
    for name in ("0123456789ab-s7", str(best.parent), str(best)):
        evaluate(name, ["sts"], data, out=tmp_path, device="cpu")
    assert [opening.runs for opening in read_openings(paths)[0]] == [("0123456789ab-s7",)] * 3
    evaluate(model, ["sts"], data, out=tmp_path, device="cpu")  # no study's
    assert len(read_openings(paths)[0]) == 3


def test_missing_tasks_are_named_and_the_others_run(partial: EvaluationResult, model: str) -> None:
    assert (partial.model, str(partial.pooling), partial.device, partial.precision) == (
        model,
        "avg (saved)",
        "cpu",
        "fp32",
    )
    assert list(partial.sts) == ["stsb"]
    assert {name: score.pairs for name, score in partial.dev.items()} == {"sts-dev": 30, "stsb-de": 20}
    assert list(partial.transfer) == ["cr"]
    assert partial.geometry is not None
    assert set(partial.missing) == {"sts12", "sts13", "sts14", "sts15", "sts16", "sickr", "mr"}
    for task, file in (("sts16", "STS16-en-test/STS.input.answer-answer.txt"), ("mr", "MR/rt-polarity.pos")):
        assert file in partial.missing[task]
        assert "run `nlcse-tune data fetch senteval`" in partial.missing[task]
    assert partial.average() is None
    assert partial.average("accuracy") is None


def test_text_of_a_partial_result(partial: EvaluationResult) -> None:
    shown = text(render([partial], subsets=True))
    for part in (
        'STS test sets: Spearman x 100 of cosine, "all" setting', "every sub-set and setting", "Dev sets", "MRPC F1",
        "Geometry", "not scored: mr:", "MR/rt-polarity.pos: not found", f"{partial.sts['stsb'].all:.2f}",
        f"{partial.dev['stsb-de'].all:.2f}", f"{partial.transfer['cr'].accuracy:.2f}", "distinct sentences",
    ):  # fmt: skip
        assert part in " ".join(shown.split()), part
    row = next(line for line in shown.splitlines() if partial.model in line and "avg (saved)" in line)
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells[2:] == ["-"] * 5 + [f"{partial.sts['stsb'].all:.2f}", "-", "-"]  # absent is absent, never 0


def test_json_of_a_partial_result(partial: EvaluationResult) -> None:
    whole = json.loads(render_json([partial], {"other": ConfigError("other: no such model")}))
    assert (whole["schema"], whole["failed"]) == (1, {"other": "other: no such model"})
    (row,) = whole["models"]
    assert row["sts"]["stsb"]["all"] == round(partial.sts["stsb"].all, 4)
    assert row["pooling"] == {"pooler": "avg", "source": "saved", "then": [], "left_out": []}
    (part,) = row["dev"]["stsb-de"]["subsets"].values()
    assert part == {"spearman": row["dev"]["stsb-de"]["all"], "pearson": row["dev"]["stsb-de"]["pearson"], "pairs": 20}
    assert row["sts_average"] is None
    assert row["transfer_average"] is None
    assert "sts12" in row["missing"]


def test_scores_are_those_of_the_parts_and_the_average_needs_all_seven(model: str) -> None:
    result = evaluate(model, ["sts"], SYNTHETIC, precision="fp32", device="cpu")
    expected, _, _ = sts.score_test_sets(load_encoder(model), SYNTHETIC, STS_TASKS, precision="fp32")
    for task in STS_TASKS:
        assert result.sts[task].all == pytest.approx(expected[task].all, abs=1e-3)
    assert result.average() == pytest.approx(np.mean([score.all for score in result.sts.values()]))
    assert result.average("wmean") == pytest.approx(result.average("mean"))
    assert not result.missing
    assert f"{result.average():.2f}" in text(render([result], setting="mean"))


def test_nothing_there_at_all_is_an_error_that_names_every_file(model: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"(?s)STS\.input\.MSRpar\.txt.*sts-test\.csv"):
        evaluate(model, ["sts"], str(tmp_path))
    with pytest.raises(MissingDataError, match="the synthetic data have no such task"):
        evaluate(model, ["sickr-dev"], SYNTHETIC)


def test_a_diverged_model_is_an_error(model: str, tmp_path: Path) -> None:
    encoder = load_encoder(model)
    with torch.no_grad():
        encoder.backbone.encoder.layer[-1].output.dense.weight.fill_(float("nan"))  # type: ignore[index, union-attr]
    save_encoder(encoder, tmp_path / "nan")
    with pytest.raises(RunError, match="hold NaN or infinite values"):
        evaluate(str(tmp_path / "nan"), ["sts-dev"], SYNTHETIC)


def test_one_model_that_fails_is_named_and_the_others_are_scored(model: str, tmp_path: Path) -> None:
    encoder = load_encoder(model)
    with torch.no_grad():
        encoder.backbone.encoder.layer[-1].output.dense.weight.fill_(float("nan"))  # type: ignore[index, union-attr]
    save_encoder(encoder, tmp_path / "nan")
    models = (str(tmp_path / "nowhere"), model, str(tmp_path / "nan"))
    for options in ((), ("--json",)):
        done = command(*models, "--tasks", "sts-dev", "--data", SYNTHETIC, *options)
        assert done.exit_code == 1
        first, second = str(done.exception).splitlines()
        assert first.startswith(f"{models[0]}: no such model")
        assert second.startswith(f"{models[2]}: 800 of 800 sentence embeddings hold NaN")
    whole = json.loads(done.stdout)
    assert [row["model"] for row in whole["models"]] == [model]
    assert list(whole["failed"]) == [models[0], models[2]]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(synthetic.sentences(30)))
    done = command(*models[:2], "--tasks", "retrieval", "--query", "the dog", "--corpus", str(corpus), "--json")
    assert list(json.loads(done.stdout)) == [model]
    assert str(done.exception).startswith(f"{models[0]}: no such model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--figure", "x.docx", "--tasks", "geometry"), "--figure x.docx: must end in .pdf, .png or .svg"),
        (("--figure", "x.png", "--tasks", "geometry,sts-dev"), "--figure x.png: nothing to draw: "),
        (("--csv", "."), "--csv .: is a folder; give a file"),
        (("--csv", "/proc/none/x.csv"), "--csv /proc/none/x.csv: cannot be written there"),
        (("--query", "a dog"), "--query and --corpus are for retrieval"),
        (("--tasks", "sts-dev,mrr"), "--tasks mrr: no such task; did you mean 'mr'?"),
    ],
)
def test_options_are_checked_before_any_model_is_loaded(
    options: tuple[str, ...], message: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two models that are none: were one looked at, the error would name it."""
    there = tmp_path / "STS/STSBenchmark"
    there.mkdir(parents=True)
    shutil.copy(Path(data, "STS/STSBenchmark/sts-dev.csv"), there)  # no geometry: that needs STS-B whole
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != "/proc")
    done = command("nowhere", "neither", "--data", str(tmp_path), *options)
    assert done.exit_code == 1
    assert str(done.exception).startswith(message)


def test_a_log_says_how_far_an_evaluation_is(model: str, data: str, tmp_path: Path) -> None:
    """Without a terminal each kind of work has a line, logistic regression too; stdout has the results alone."""
    tasks = ("--tasks", "sts-dev,cr", "--data", data, "--json")
    lines = command(model, *tasks).stderr.splitlines()
    assert lines[0] == "loading the model"
    for what in ("embedding sentences", "cr: logistic regression, inner folds", "cr: logistic regression, outer folds"):
        begun, *_, ended = 2 * [line for line in lines if line.startswith(what)]
        done, total = ended.removeprefix(f"{what}: ").split(" of ")
        assert done == total
        assert begun.endswith(f" of {total}")
    done_by_two = command(model, str(tmp_path), "--tasks", "sts-dev", "--data", data)
    assert f"{model}: embedding sentences" in done_by_two.stderr


def test_lines_come_every_half_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 10.0, 29.0, 31.0, 40.0, 62.0, 63.0])
    monkeypatch.setattr("nlcse_tune.cli.watched.time.monotonic", lambda: next(clock))
    lines = Lines()
    for done in range(1, 7):
        lines("embedding", 1000 * done, 9000)
    lines("embedding", 9000, 9000)
    assert capsys.readouterr().err.splitlines() == [f"embedding: {n},000 of 9,000" for n in (1, 4, 6, 9)]


def test_csv_has_every_figure_once(partial: EvaluationResult, model: str, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv([partial]))))
    assert {row["model"] for row in rows} == {partial.model}
    assert {row["pooling"] for row in rows} == {"avg (saved)"}
    cells = {(row["kind"], row["task"], row["subset"], row["figure"]): (row["value"], row["items"]) for row in rows}
    assert len(cells) == len(rows)
    assert cells["sts", "stsb", "", "all"] == (str(round(partial.sts["stsb"].all, 4)), "30")
    assert cells["dev", "stsb-de", "STS-B dev de", "spearman"] == (str(round(partial.dev["stsb-de"].all, 4)), "20")
    assert cells["transfer", "cr", "", "accuracy"][0] == str(round(partial.transfer["cr"].accuracy, 4))
    assert partial.geometry is not None
    assert cells["geometry", "stsb", "", "uniformity"][0] == str(round(partial.geometry.uniformity, 4))
    assert not [key for key in cells if key[1] in ("average", "mr", "sts12") or key[3] == "f1"]  # absent is absent
    file = tmp_path / "new" / "scores.csv"
    done = command(model, "--tasks", "sts", "--data", SYNTHETIC, "--csv", str(file))
    assert done.exit_code == 0, done.output
    assert f"csv: {file}" in done.stdout
    assert "average" in file.read_text()


def test_every_field_of_the_json_is_documented(partial: EvaluationResult) -> None:
    def keys(value: Any) -> Iterator[str]:
        """Names of fields: not those of tasks, sub-sets or models."""
        names = {*TRANSFER_TASKS, *STS_TASKS, *partial.dev}
        for key, inner in value.items() if isinstance(value, dict) else []:
            if key not in names and not key.startswith("STS-B"):
                yield key
            yield from keys(inner)
        for inner in value if isinstance(value, list) else []:
            yield from keys(inner)

    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    found = set(keys(json.loads(render_json([partial]))))
    assert {"schema", "left_out", "dev_accuracy", "spearman"} <= found
    assert not [name for name in found if f"`{name}`" not in page]
    assert f"| `schema` | {SCHEMA} |" in page
    assert all(f"`{column}`" in page for column in COLUMNS)


def test_dev_sets_of_sick_and_by_either_name_of_sts_b(model: str, tmp_path: Path) -> None:
    (tmp_path / "SICK").mkdir()
    rows = [f"{n}\t{a}\t{b}\t{gold}\tNEUTRAL\n" for n, (a, b, gold) in enumerate(synthetic.sts_pairs("sick", 20))]
    (tmp_path / "SICK/SICK_trial.txt").write_text("id\tA\tB\tscore\tjudgment\n" + "".join(rows))
    result = evaluate(model, ["stsb-dev,sickr-dev"], str(tmp_path))
    assert {task: score.pairs for task, score in result.dev.items()} == {"sickr-dev": 20}
    assert "sts-dev.csv" in result.missing["sts-dev"]


def test_task_names() -> None:
    assert expand_tasks(["sts, MR", "stsb,stsb-de"]) == [*STS_TASKS, "mr", "stsb-de"]
    assert expand_tasks(["all"]) == [*STS_TASKS, "sts-dev", "sickr-dev", "geometry", *TRANSFER_TASKS]
    assert expand_tasks(["stsb-dev,sts-dev"]) == ["sts-dev"]
    with pytest.raises(ConfigError, match="--tasks sts21: no such task; did you mean 'sts"):
        expand_tasks(["sts21"])
    with pytest.raises(ConfigError, match="names no task"):
        expand_tasks([" , "])


def test_brackets_in_names_and_sentences_are_text_not_markup(partial: EvaluationResult) -> None:
    odd = partial.model_copy(update={"model": "a[bold]b[/x]", "missing": {"mr": "/data [old]/MR [1]: not found"}})
    shown = text(render([odd], subsets=True))
    assert shown.count("a[bold]b[/x]") >= 5
    assert "/data [old]/MR [1]: not found" in shown
    hits = {"m[1]": {"so [sic] it is": [Hit(sentence="he left [laughs] [/b]", cosine=0.5)]}}
    shown = text(render_hits(hits))
    assert all(part in shown for part in ("m[1]", "query: so [sic] it is", "0.500  he left [laughs] [/b]"))


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *arguments, "--device", "cpu"])


def test_the_command_prints_tables_json_and_the_figure(model: str, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    tasks = ("--tasks", "sts,sts-dev,geometry", "--data", SYNTHETIC)
    done = command(model, *tasks, "--figure", str(figure), "--subsets", "--setting", "wmean")
    assert done.exit_code == 0, done.output
    assert all(part in done.stdout for part in ('"wmean" setting', "Dev sets", "alignment", f"figure: {figure}"))
    assert figure.read_bytes().startswith(b"\x89PNG")
    done = command(model, *tasks, "--json")
    (row,) = json.loads(done.stdout)["models"]
    assert set(row["sts"]) == set(STS_TASKS)
    assert row["sts_average"] is not None
    assert row["geometry"]["sentences"] > 1000


def test_the_command_retrieves_for_two_models(model: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_encoder(load_encoder(model, pooler="cls_before_pooler"), other)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(synthetic.sentences(30)))
    options = ("--tasks", "retrieval", "--query", "the dog", "--query", "a boat", "--corpus", str(corpus), "--top", "2")
    done = command(model, str(other), *options, "--json")
    retrieved = json.loads(done.stdout)
    assert {name: {query: len(hits) for query, hits in by.items()} for name, by in retrieved.items()} == {
        name: {"the dog": 2, "a boat": 2} for name in (model, str(other))
    }
    shown = command(model, str(other), *options).stdout
    assert shown.count("query: ") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tasks", "sts21"), "--tasks sts21: no such task"),
        (("--pooling", "cls"), "was saved with pooling 'avg'"),
        (("--tasks", "sts-dev", "--figure", "x.png"), "--figure draws alignment and uniformity: add geometry"),
        (("--tasks", "retrieval"), '--tasks retrieval needs --query "..." and --corpus FILE'),
        (("--tasks", "retrieval,sts"), "retrieval stands alone"),
    ],
)
def test_bad_options_are_refused(model: str, options: tuple[str, ...], message: str) -> None:
    done = command(model, "--data", SYNTHETIC, *options)
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)


@pytest.mark.parametrize(("option", "value"), [("--setting", "al"), ("--precision", "fp16"), ("--pooling", "avg_top")])
def test_an_unknown_choice_is_answered_with_the_known_ones(option: str, value: str) -> None:
    done = command("model", option, value)
    assert done.exit_code == 2
    assert "is not one of" in done.stderr
