"""What a run is: frozen, self-checking models. A value that exists is legal.

The text beside each field is its documentation: `nlcse-tune studies NAME` prints it. `fields.py` has their
dotted names.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from nlcse_tune import plugins

SYNTHETIC = "synthetic"  # the embedded data set, made on the spot
AUTO = "auto"  # a precision that stands for one of the others until a run is named
SCRATCH = "scratch"  # an encoder with random weights

Pooler = Literal["cls", "cls_before_pooler", "avg", "avg_first_last", "avg_top2", "max", "last", "weighted"]
Optimizers = Literal["two", "one"]
SideLoss = Literal["simclr", "supcon", "supcon_khosla", "supcon_as_released"]
Modality = Literal["image", "audio"]
Control = Literal["labels", "noise", "text", "again"]
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
    uniformity: float = Field(0.0, ge=0, description="weight of the anchors' uniformity (Wang and Isola) in the loss")


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
    control: Control | None = Field(
        None,
        description="takes from the side what it may teach by: labels are dealt anew; noise is in the place of pixels "
        "or sound; text: other sentences go through its head; again: the step's own text batch, in the text's loss",
    )

    @property
    def reads_data(self) -> bool:
        """Whether its steps are on what `data` names; two of the controls are on the run's text."""
        return self.control not in ("text", "again")

    @model_validator(mode="after")
    def _of_audio(self) -> "SideConfig":
        if self.modality != "audio" and (self.mixup, self.normalise, self.positions) != (0.0, True, True):
            raise ValueError(f"mixup, normalise and positions are for modality audio, got {self.modality}")
        return self

    @model_validator(mode="after")
    def _controls_something(self) -> "SideConfig":
        if self.control == "labels" and self.loss == "simclr":
            raise ValueError(f"control labels: deals labels anew, and loss must be one that has any, got {self.loss!r}")
        if self.control == "text" and self.loss != "simclr":
            raise ValueError(f"control text: sentences have no labels; set loss to simclr, got {self.loss!r}")
        if self.control == "noise" and self.modality not in get_args(Modality):
            raise ValueError(f"control noise: is for modality image or audio, got {self.modality!r}")
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


ONE, SEVERAL = "one side", "several sides"  # tags of the two ways to write `side:`, which no error names
Sides = Annotated[SideConfig, Tag(ONE)] | Annotated[tuple[SideConfig, ...], Tag(SEVERAL)]


def _way(side: Any) -> str:
    return SEVERAL if isinstance(side, list | tuple) else ONE


class RunConfig(Frozen):
    """Everything that defines a run but its seed. `side: null` is SimCSE; each of a list of sides has its own step."""

    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    side: Annotated[Sides, Discriminator(_way)] | None = None
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @field_validator("side")
    @classmethod
    def _a_list_holds_several(cls, side: SideConfig | tuple[SideConfig, ...] | None) -> Any:
        """One side in a list is the same run as that side without the list."""
        if side == ():
            raise ValueError("must be a side, several in a list, or null")
        return side[0] if isinstance(side, tuple) and len(side) == 1 else side

    @property
    def sides(self) -> tuple[SideConfig, ...]:
        """None, one or several, in the order of their steps."""
        return self.side if isinstance(self.side, tuple) else (self.side,) if self.side else ()

    @property
    def method(self) -> str:
        """The paper's name for this kind of run: `VisualAudioCSE` where there are both sides."""
        own = {"image": "Visual", "audio": "Audio"}
        names = dict.fromkeys(own.get(side.modality, side.modality) for side in self.sides)
        controls = dict.fromkeys(side.control for side in self.sides if side.control)
        return "".join(names or ["Sim"]) + "CSE" + "".join(f", control {control}" for control in controls)
