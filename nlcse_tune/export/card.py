"""The model card of an exported run: everything that is known of it, and nothing that is not."""

from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from nlcse_tune import __version__
from nlcse_tune.config import SCRATCH
from nlcse_tune.config.fields import flatten, sides_read
from nlcse_tune.errors import plural
from nlcse_tune.models.encoder import SentenceEncoder
from nlcse_tune.records import RunRecord, TestRecord

POOLINGS = {
    "cls": "the state of [CLS]",
    "cls_before_pooler": "the state of [CLS]",
    "avg": "the mean of the last layer's token states",
    "avg_first_last": "the mean of the first and the last layer's token states",
    "avg_top2": "the mean of the last two layers' token states",
    "max": "in each dimension the largest of the last layer's token states",
    "last": "the last token's state",
    "weighted": "the mean of the last layer's token states with weights 1, 2, 3, ... by position",
}
UNKNOWN = (
    "No record of this run was found beside its checkpoint, so its data, configuration and scores are not known here.\n"
)
USAGE = (
    "## Use\n\n```python\nfrom sentence_transformers import SentenceTransformer\n\n"
    'model = SentenceTransformer("%s")  # this folder\n'
    'vectors = model.encode(["A dog carries a ball.", "The hound has a toy."])\n'
    "print(model.similarity(vectors, vectors))\n```\n"
)
LICENCE = "## Licence\n\nNot stated. Whoever publishes this model chooses one that its data and base model allow.\n"


def model_card(encoder: SentenceEncoder, record: RunRecord | None, test: TestRecord | None, name: str) -> str:
    """README.md in Markdown; the licence is the user's to state."""
    head = ", then a linear layer and tanh" if encoder.test_head is not None else ""
    method = f"{record.config.text.objective.capitalize()} {record.config.method}. " if record else ""
    summary = (
        f"{method}A sentence becomes {encoder.width} numbers: {POOLINGS[encoder.pooler]}{head}. Sentences are cut at "
        f"{encoder.max_length} tokens. Compare by cosine similarity.\n"
    )
    of_the_run = [_training(record), _scores(record, test)] if record else [UNKNOWN]
    sections = [_front_matter(record), f"# {name}\n", summary, USAGE % name, *of_the_run, _versions(record), LICENCE]
    return "\n".join(sections)


def _front_matter(record: RunRecord | None) -> str:
    base = record.config.encoder.checkpoint if record else SCRATCH
    data = ModelCardData(
        library_name="sentence-transformers", pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "sentence-similarity", "nlcse-tune"],
        base_model=None if base == SCRATCH or Path(base).exists() else base,  # a hub name alone
    )  # fmt: skip
    return f"---\n{data.to_yaml()}\n---\n"


def _training(record: RunRecord) -> str:
    config = record.config
    sources = {"encoder": config.encoder.checkpoint, "text": config.text.data, "dev": config.eval.data}
    for place, side in sides_read(config).items():
        sources |= {place: side.data, place.replace("side", "side_checkpoint"): str(side.checkpoint)}
    data = [(kind, Path(sources.get(kind, "")).name, f"`{print_}`") for kind, print_ in record.data.items()]
    settings = [(f"`{field}`", f"`{value}`") for field, value in flatten(config).items()]
    length = f"{plural(record.steps, 'step')}, {plural(record.workers, 'worker')}"
    facts = f"Run `{record.run_id}`, seed {record.seed}, {length}."
    if record.events:
        facts += " What it did by itself:\n" + "".join(f"\n- {event}" for event in record.events)
    tables = [_table(("input", "name", "fingerprint"), data), _table(("setting", "value"), settings)]
    return "\n".join(["## Training\n", facts + "\n", *tables])


def _scores(record: RunRecord, test: TestRecord | None) -> str:
    """Spearman x 100; what was not measured is not in it."""
    language = f" (`{record.config.eval.language}`)" if record.config.eval.language else ""
    chosen = f"Spearman × 100 on the STS-B dev set{language}, by which the model was chosen."
    if record.dev_before is not None:
        chosen += f" Before training: {record.dev_before:.2f}."
    if record.best_dev is not None:
        chosen += f" Best: {record.best_dev:.2f} at step {record.best_step}, which is this model."
    curve = [(point.step, f"{point.score:.2f}") for point in record.dev_curve]
    parts = ["## Scores\n", f"{chosen}\n", _table(("step", "dev"), curve)]
    if test is None:
        return "\n".join([*parts, "Its test scores were not measured.\n"])
    rows = [(task, f"{test.score(task):.2f}", test.scores[task].pairs) for task in test.scores]
    parts += [f"Spearman × 100 on test sets, setting `{test.setting}`:\n", _table(("task", "score", "pairs"), rows)]
    if (average := test.average(record.config.eval.tasks)) is not None:
        parts.append(f"Mean over {plural(len(record.config.eval.tasks), 'task')}: {average:.2f}\n")
    return "\n".join(parts)


def _versions(record: RunRecord | None) -> str:
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
