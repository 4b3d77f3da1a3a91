"""The model card of an exported run: everything that is known of it, and nothing that is not."""

from importlib import metadata
from pathlib import Path
from typing import Any

from nlcse_tune.config import SCRATCH, flatten
from nlcse_tune.models.encoder import SentenceEncoder
from nlcse_tune.records import RunRecord, TestRecord

POOLINGS = {
    "cls": "the state of [CLS]",
    "cls_before_pooler": "the state of [CLS]",
    "avg": "the mean of the last layer's token states",
    "avg_first_last": "the mean of the first and the last layer's token states",
    "avg_top2": "the mean of the last two layers' token states",
}
UNKNOWN = (
    "No record of this run was found beside its checkpoint, so its data, configuration and scores are not known here."
)


def model_card(encoder: SentenceEncoder, record: RunRecord | None, test: TestRecord | None, name: str) -> str:
    """README.md in Markdown; the licence is the user's to state."""
    parts = [_front_matter(record), f"# {name}\n", _summary(encoder, record), _usage(name)]
    parts += (
        [_training(record), _scores(record, test), _versions(record)] if record else [UNKNOWN + "\n", _versions(None)]
    )
    parts.append(
        "## Licence\n\nNot stated. Whoever publishes this model chooses one that its data and base model allow.\n"
    )
    return "\n".join(parts)


def _front_matter(record: RunRecord | None) -> str:
    lines = ["library_name: sentence-transformers", "pipeline_tag: sentence-similarity", "tags:"]
    lines += [f"- {tag}" for tag in ("sentence-transformers", "sentence-similarity", "nlcse-tune")]
    base = record.config.encoder.checkpoint if record else SCRATCH
    if base != SCRATCH and not Path(base).exists():  # a hub name
        lines.append(f"base_model: {base}")
    return "\n".join(["---", *lines, "---\n"])


def _summary(encoder: SentenceEncoder, record: RunRecord | None) -> str:
    head = ", then a linear layer and tanh" if encoder.head is not None and encoder.head_at_test else ""
    method = f"{record.config.text.objective.capitalize()} {record.config.method}. " if record else ""
    return (
        f"{method}A sentence becomes {encoder.width} numbers: {POOLINGS[encoder.pooler]}{head}. Sentences are cut at "
        f"{encoder.max_length} tokens. Compare by cosine similarity.\n"
    )


def _usage(name: str) -> str:
    return (
        "## Use\n\n```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("{name}")  # this folder\n'
        'vectors = model.encode(["A dog carries a ball.", "The hound has a toy."])\n'
        "print(model.similarity(vectors, vectors))\n```\n"
    )


def _training(record: RunRecord) -> str:
    sources = {
        "encoder": record.config.encoder.checkpoint, "text": record.config.text.data, "dev": record.config.eval.data,
        "side": record.config.side and record.config.side.data,
        "side_checkpoint": record.config.side and record.config.side.checkpoint,
    }  # fmt: skip
    data = [(kind, Path(str(sources.get(kind, ""))).name, f"`{print_}`") for kind, print_ in record.data.items()]
    settings = [(f"`{field}`", f"`{value}`") for field, value in flatten(record.config).items()]
    facts = f"Run `{record.run_id}`, seed {record.seed}, {record.steps} steps, {record.workers} worker(s)."
    events = "".join(f"\n- {event}" for event in record.events)
    return "\n".join([
        "## Training\n", facts + (f" What it did by itself:\n{events}" if events else "") + "\n",
        _table(("input", "name", "fingerprint"), data), _table(("setting", "value"), settings),
    ])  # fmt: skip


def _scores(record: RunRecord, test: TestRecord | None) -> str:
    """Spearman x 100; what was not measured is not in it."""
    best = (
        ""
        if record.best_dev is None
        else f" Best: {record.best_dev:.2f} at step {record.best_step}, which is this model."
    )
    before = "" if record.dev_before is None else f" Before training: {record.dev_before:.2f}."
    curve = [(point.step, f"{point.score:.2f}") for point in record.dev_curve]
    parts = ["## Scores\n", f"Spearman × 100 on the STS-B dev set, by which the model was chosen.{before}{best}\n"]
    parts.append(_table(("step", "dev"), curve))
    if test is None:
        return "\n".join([*parts, "Its test scores were not measured.\n"])
    rows = [(task, f"{test.score(task):.2f}", test.scores[task].pairs) for task in test.scores]
    parts += [f"Spearman × 100 on test sets, setting `{test.setting}`:\n", _table(("task", "score", "pairs"), rows)]
    if (average := test.average(record.config.eval.tasks)) is not None:
        parts.append(f"Mean over these {len(record.config.eval.tasks)} tasks: {average:.2f}\n")
    return "\n".join(parts)


def _versions(record: RunRecord | None) -> str:
    from nlcse_tune import __version__

    libraries = " and ".join(f"{name} {metadata.version(name)}" for name in ("sentence-transformers", "transformers"))
    exported = f"Exported by nlcse-tune {__version__} with {libraries}."
    if record is None:
        return f"## Versions\n\n{exported}\n"
    of = record.versions
    rows = [("nlcse-tune", of.nlcse_tune), ("commit", of.commit or "unknown"), ("python", of.python)]
    rows += [*of.packages.items(), ("device", of.device)]
    return f"## Versions\n\nTrained with the following. {exported}\n\n{_table(('package', 'version'), rows)}"


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
