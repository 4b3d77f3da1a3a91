"""One call from model and data to tables and JSON; what is missing is named, and the rest still runs."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console, RenderableType
from typer.testing import CliRunner, Result

from nlcse_tune.cli.main import app
from nlcse_tune.cli.show_evaluation import render, render_hits, render_json
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
    assert (partial.model, partial.pooling, partial.device, partial.precision) == (model, "avg (saved)", "cpu", "fp32")
    assert list(partial.sts) == ["stsb"]
    assert {name: score.pairs for name, score in partial.dev.items()} == {"sts-dev": 30, "stsb-de": 20}
    assert list(partial.transfer) == ["cr"]
    assert partial.geometry is not None
    assert set(partial.missing) == {"sts12", "sts13", "sts14", "sts15", "sts16", "sickr", "mr"}
    for task, file in (("sts16", "STS16-en-test/STS.input.answer-answer.txt"), ("mr", "MR/rt-polarity.pos")):
        assert file in partial.missing[task]
        assert "run `nlcse-tune data fetch sts`" in partial.missing[task]
    assert partial.average() is None
    assert partial.average("accuracy") is None


def test_text_of_a_partial_result(partial: EvaluationResult) -> None:
    shown = text(render([partial], subsets=True))
    for part in (
        'STS test sets: Spearman x 100 of cosine, "all" setting', "every sub-set and setting", "STS-B dev", "MRPC F1",
        "Geometry", "not scored: mr:", "MR/rt-polarity.pos: not found", f"{partial.sts['stsb'].all:.2f}",
        f"{partial.dev['stsb-de'].all:.2f}", f"{partial.transfer['cr'].accuracy:.2f}", "distinct sentences",
    ):  # fmt: skip
        assert part in " ".join(shown.split()), part
    row = next(line for line in shown.splitlines() if partial.model in line and "avg (saved)" in line)
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells[2:] == ["-"] * 5 + [f"{partial.sts['stsb'].all:.2f}", "-", "-"]  # absent is absent, never 0


def test_json_of_a_partial_result(partial: EvaluationResult) -> None:
    (row,) = json.loads(render_json([partial]))
    assert row["sts"]["stsb"]["all"] == partial.sts["stsb"].all
    assert row["sts_average"] is None
    assert row["transfer_average"] is None
    assert "sts12" in row["missing"]
    assert EvaluationResult.model_validate({k: v for k, v in row.items() if not k.endswith("_average")}) == partial


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
        evaluate(model, ["mr"], SYNTHETIC)


def test_a_diverged_model_is_an_error(model: str, tmp_path: Path) -> None:
    encoder = load_encoder(model)
    with torch.no_grad():
        encoder.backbone.encoder.layer[-1].output.dense.weight.fill_(float("nan"))  # type: ignore[index, union-attr]
    save_encoder(encoder, tmp_path / "nan")
    with pytest.raises(RunError, match="hold NaN or infinite values"):
        evaluate(str(tmp_path / "nan"), ["sts-dev"], SYNTHETIC)


def test_task_names() -> None:
    assert expand_tasks(["sts, MR", "stsb,stsb-de"]) == [*STS_TASKS, "mr", "stsb-de"]
    assert expand_tasks(["all"]) == [*STS_TASKS, "sts-dev", "geometry", *TRANSFER_TASKS]
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
    assert all(part in done.stdout for part in ('"wmean" setting', "STS-B dev", "alignment", f"figure: {figure}"))
    assert figure.read_bytes().startswith(b"\x89PNG")
    done = command(model, *tasks, "--json")
    (row,) = json.loads(done.stdout)
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
