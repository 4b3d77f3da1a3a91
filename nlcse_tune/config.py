"""What a run is: frozen, self-checking models. A value that exists is legal.

The text beside each field is its documentation: `nlcse-tune studies NAME` prints it.
"""

import hashlib
import json
import reprlib
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from nlcse_tune import plugins
from nlcse_tune.errors import ConfigError, all_of, nearest
from nlcse_tune.files import parse_yaml
from nlcse_tune.paths import data_path

SYNTHETIC = "synthetic"  # the embedded data set, made on the spot
AUTO = "auto"  # a precision that stands for one of the others until a run is named
SCRATCH = "scratch"  # an encoder with random weights

Pooler = Literal["cls", "cls_before_pooler", "avg", "avg_first_last", "avg_top2", "max", "last", "weighted"]
Optimizers = Literal["two", "one"]
SideLoss = Literal["simclr", "supcon", "supcon_khosla", "supcon_as_released"]
Modality = Literal["image", "audio"]
Objective = Literal["unsupervised", "supervised"]
StsTask = Literal["sts12", "sts13", "sts14", "sts15", "sts16", "stsb", "sickr"]
STS_TASKS: tuple[StsTask, ...] = get_args(StsTask)
AnySideLoss = Annotated[str, plugins.or_installed("side.loss", get_args(SideLoss))]
AnyModality = Annotated[str, plugins.or_installed("side.modality", get_args(Modality))]


class Frozen(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Base of every configuration model: immutable, no unknown keys, no NaN."""


class ScratchConfig(Frozen):
    """The shape of an encoder that starts from random weights (`encoder.checkpoint: scratch`)."""

    family: Literal["bert", "roberta"] = Field("bert", description="architecture")
    layers: int = Field(2, ge=1, description="Transformer layers")
    hidden_size: int = Field(64, ge=8, description="width D")
    heads: int = Field(2, ge=1, description="attention heads; divides hidden_size")
    vocab_size: int = Field(2000, ge=64, description="WordPiece entries, trained on the run's own text")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ScratchConfig":
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size must be a multiple of heads={self.heads}, got {self.hidden_size}")
        return self


class EncoderConfig(Frozen):
    """The Transformer and how a sentence vector is read off it."""

    checkpoint: str = Field("bert-base-uncased", min_length=1, description="hub name, folder, or 'scratch'")
    pooler: Pooler = Field("cls", description="how token states become one vector")
    dropout: float | None = Field(None, ge=0, lt=1, description="overrides the checkpoint's dropout (all layers)")
    scratch: ScratchConfig = Field(ScratchConfig(), description="shape, used only with checkpoint 'scratch'")


class TextConfig(Frozen):
    """The text half of a run (Eq. 2 and 3)."""

    data: str = Field("data/text/wiki1m_for_simcse.txt", min_length=1, description="file, or 'synthetic'")
    objective: Objective = Field("unsupervised", description="Eq. 2 or Eq. 3")
    batch_size: int = Field(64, ge=2, description="global batch: sentences (or triplets) a step, over all workers")
    learning_rate: float = Field(3e-5, gt=0, description="peak; then linear to zero")
    temperature: float = Field(0.05, gt=0, description="tau of Eq. 2 and 3")
    hard_negative_weight: float = Field(0.0, ge=0, description="added to a pair's own hard-negative logit (SimCSE)")
    max_length: int = Field(32, ge=4, description="tokens of a training sentence")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's, not on biases and LayerNorm")
    limit: int | None = Field(None, ge=2, description="rows that are kept, the same at each seed; null: all (Figure 2)")
    deletion: float = Field(0.0, ge=0, lt=1, description="share of the words deleted from each sentence (Figure 3)")
    insertions: int = Field(0, ge=0, description="words of the text put into each sentence (Figure 3)")
    swaps: int = Field(0, ge=0, description="pairs of words exchanged in each sentence (Figure 3)")


class SideConfig(Frozen):
    """The non-linguistic half of a run (Eq. 4 to 7)."""

    modality: AnyModality = Field("image", description="image, audio, or a package's")
    data: str = Field(min_length=1, description="folder with one folder a class (or speaker), or 'synthetic'")
    loss: AnySideLoss = Field("supcon", description="Eq. 4/6, 5/7, Khosla's, the released code's, or a package's")
    batch_size: int = Field(48, ge=2, description="global batch: images or clips a step, over all workers")
    learning_rate: float = Field(1e-6, gt=0, description="peak; then cosine to zero")
    temperature: float = Field(0.07, gt=0, description="tau of Eq. 4 to 7")
    weight: float = Field(1.0, gt=0, description="omega of Eq. 1; nearly inert under two AdamWs, blind to its scale")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's, not on biases and LayerNorm")
    checkpoint: str | None = Field(None, description="ViT whose patch embedding starts the side; else initialised")
    dropout: float | None = Field(None, ge=0, lt=1, description="after the patch embedding; null: the encoder's")
    mixup: float = Field(0.0, ge=0, le=1, description="audio: share of clips into which another one is mixed")
    normalise: bool = Field(True, description="audio: filter banks to AudioSet's mean and a standard deviation of 1/2")
    positions: bool = Field(True, description="audio: position embeddings are added to the patches")

    @model_validator(mode="after")
    def _of_audio(self) -> "SideConfig":
        if self.modality != "audio" and (self.mixup, self.normalise, self.positions) != (0.0, True, True):
            raise ValueError(f"mixup, normalise and positions are for modality audio, got {self.modality}")
        return self


class TrainConfig(Frozen):
    """How long, how often, how precisely, and with how much memory."""

    epochs: int = Field(1, ge=1, description="passes over the text")
    max_steps: int | None = Field(None, ge=1, description="ends training earlier; schedules end there too")
    optimizers: Optimizers = Field(
        "two", description="two: an AdamW a half (Algorithm 1); one: text's, on text loss + omega x side loss (Eq. 1)"
    )
    eval_every: int = Field(125, ge=1, description="steps between dev evaluations")
    checkpoint_every: int = Field(500, ge=1, description="steps between restart points")
    max_grad_norm: float = Field(1.0, gt=0, description="each half's gradient is clipped to this norm")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "fp32",
        description="autocast type of the forward passes (the paper's is fp16); auto: bf16 where the GPUs have it, "
        "else fp16, fp32 on a CPU, and what was found first holds for the study's folder",
    )
    tf32: bool = Field(False, description="TF32 matrix products on GPUs that have them")
    compile: bool = Field(False, description="torch.compile of training passes: speed alone, and none on a CPU")
    micro_batch: int | None = Field(None, ge=1, description="items a forward; changes memory only")
    loader_threads: int = Field(2, ge=0, description="threads that decode images and audio ahead")


class EvalConfig(Frozen):
    """What is scored: STS-B dev during a run, the test tasks after it."""

    data: str = Field("data/senteval", min_length=1, description="folder in SentEval's layout, or 'synthetic'")
    tasks: tuple[StsTask, ...] = Field(STS_TASKS, min_length=1, description="test tasks")
    setting: Literal["all", "mean", "wmean"] = Field("all", description="how sub-sets of a task are joined")
    language: str | None = Field(
        None, pattern="^[a-z]{2}$", description="of STS-B dev: a translation in stsb_multi_mt, in or beside eval.data"
    )

    @model_validator(mode="after")
    def _synthetic_is_english(self) -> "EvalConfig":
        if self.language and self.data == SYNTHETIC:
            raise ValueError(f"language must be null with data '{SYNTHETIC}', got {self.language!r}")
        return self


class RunConfig(Frozen):
    """Everything that defines a run but its seed. `side: null` is SimCSE."""

    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    side: SideConfig | None = None
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @property
    def method(self) -> str:
        """The paper's name for this kind of run."""
        own = {"image": "VisualCSE", "audio": "AudioCSE"}
        return own.get(self.side.modality, f"{self.side.modality}CSE") if self.side else "SimCSE"


# Fields that change where data lies, or how fast and in how much memory a run goes, but never its numbers.
PATH_FIELDS = ("encoder.checkpoint", "text.data", "side.data", "side.checkpoint", "eval.data")
SPEED_FIELDS = ("train.checkpoint_every", "train.compile", "train.micro_batch", "train.loader_threads")
TEST_FIELDS = ("eval.tasks", "eval.setting")  # what is done with a finished run
# Fields younger than the first records. At its default, which is what every run did before, each is left out of a
# digest, so that runs keep their ids.
LATER_FIELDS = (
    "train.optimizers", "eval.language", "side.dropout", "side.mixup", "side.normalise", "side.positions",
    "text.limit", "text.deletion", "text.insertions", "text.swaps",
)  # fmt: skip


def flatten(config: RunConfig | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"text.learning_rate": 3e-05, ...}`; an absent side is the single entry `"side": None`."""
    flat: dict[str, Any] = {}
    for key, value in (config.model_dump(mode="json") if isinstance(config, RunConfig) else config).items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def digest(config: RunConfig, data: Mapping[str, str], *, without: tuple[str, ...] = ()) -> str:
    """Hex digest of what decides a run's numbers: the configuration less paths and speed, plus data fingerprints.

    `without` leaves out further dotted fields: a search leaves out those of its space, so that all its points
    share one digest. Without a side there is one gradient, and `train.optimizers` says nothing.
    """
    flat = flatten(config)
    if flat["train.precision"] == AUTO:
        raise ConfigError("train.precision: auto stands for no run before it is found out; give fp32, bf16 or fp16")
    unchanged = (key for key in LATER_FIELDS if flat.get(key) == known_fields()[key].default)
    without_side = () if config.side else ("train.optimizers",)
    left_out = {*PATH_FIELDS, *SPEED_FIELDS, *TEST_FIELDS, *without, *unchanged, *without_side}
    kept = {key: value for key, value in flat.items() if key not in left_out}
    return hashlib.sha256(json.dumps({"config": kept, "data": dict(data)}, sort_keys=True).encode()).hexdigest()


@cache
def known_fields(model: type[BaseModel] = RunConfig, prefix: str = "") -> Mapping[str, Any]:
    """Every dotted field (leaves only) of RunConfig, or of another model, with its pydantic FieldInfo."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        kinds = (kind for kind in (info.annotation, *get_args(info.annotation)) if isinstance(kind, type))
        inner = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        fields |= known_fields(inner, f"{prefix}{name}.") if inner else {prefix + name: info}
    return fields


def check_field(field: str) -> None:
    """Raises ConfigError, naming the nearest known field, unless `field` is a dotted field of RunConfig."""
    if field != "side" and field not in known_fields():
        raise ConfigError(f"{field}: no such field{nearest(field, known_fields())}")


def override(config: RunConfig, values: Mapping[str, Any], *, where: str = "--set") -> RunConfig:
    """`config` with dotted fields replaced (`side=None` removes the side), checked anew; every problem in one error."""
    raw = config.model_dump(mode="json")
    put = [partial(_put, raw, field, value) for field, value in values.items()]
    changed: RunConfig = all_of([*put, partial(validate, RunConfig, raw, where=where)])[-1]
    return changed


def _put(raw: dict[str, Any], field: str, value: Any) -> None:
    """Puts a dotted field's value into a configuration's nested mapping."""
    check_field(field)
    if field == "side" and value is not None:
        raise ConfigError(f"side: can only be set to null; set its fields instead, got {value!r}")
    *parents, leaf = field.split(".")
    node = raw
    for parent in parents:
        if node[parent] is None:
            raise ConfigError(f"{field}: this run has no side (SimCSE), so there is nothing to set")
        node = node[parent]
    node[leaf] = value


def assign(values: dict[str, Any], text: str) -> None:
    """Enters `text.learning_rate=2e-5` into `values`; what follows the sign is read as YAML."""
    field, sign, value = text.partition("=")
    if not sign or not field.strip():
        raise ConfigError(f"--set {text}: must look like field=value, for instance text.learning_rate=2e-5")
    values[field.strip()] = parse_yaml(value, where=f"--set {text}")


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """`["text.learning_rate=2e-5"]` -> `{"text.learning_rate": 2e-05}`; every problem in one error."""
    values: dict[str, Any] = {}
    all_of(partial(assign, values, text) for text in texts)
    return values


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Paths made absolute: Ray's workers run in folders of their own (docs/ray.md, point 17). Hub names stay."""
    flat, changes = flatten(config), {}
    for field in PATH_FIELDS:
        if (value := flat.get(field)) not in (None, SYNTHETIC, SCRATCH):
            path = data_path(value)
            changes[field] = value if field.endswith("checkpoint") and not path.exists() else str(path.resolve())
    return override(config, changes)


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], raw: Any, *, where: str) -> Model:
    """`raw` as `model`; one ConfigError lists every problem as `where: key: rule, got value`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise ConfigError("\n".join(_describe(problem, model, where) for problem in problems)) from None


_SHORT = reprlib.Repr()  # a file can hold a value that takes minutes to print whole
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 2


def _describe(problem: Any, model: type[BaseModel], where: str) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        unknown = str(problem["loc"][-1])
        parent = key.removesuffix(unknown)
        below = (field.removeprefix(parent) for field in known_fields(model) if field.startswith(parent))
        near = nearest(unknown, dict.fromkeys(name.split(".")[0] for name in below))
        return f"{where}: {key}: unknown key{_place(unknown, model) or near}"
    if problem["type"] == "missing":
        return f"{where}: {key}: must be given"
    rule = problem["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    whole = not key and isinstance(problem["input"], dict)  # of the file: nobody wants to read it here
    told = whole or (problem["type"] == "value_error" and ", got " in rule)
    return f"{where}: {key + ': ' if key else ''}{rule}" + ("" if told else f", got {_SHORT.repr(problem['input'])}")


def _place(key: str, model: type[BaseModel]) -> str:
    """`"; it belongs under `config:`"`: where the model has a key of this name, empty where nowhere."""
    paths = [field.split(".") for field in known_fields(model)]
    parents = dict.fromkeys(".".join(path[:i]) for path in paths for i, name in enumerate(path) if name == key)
    named = [f"under `{parent}:`" if parent else "at the top" for parent in parents]
    return f"; it belongs {' or '.join(named)}" if named else ""
