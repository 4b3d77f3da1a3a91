"""The ways to train that `benchmarks/training.py` compares, each in a process of its own.

A process is told on stdin how many steps to take, takes them, and answers with the seconds they took and with its peak
memory. So the rounds of several ways can alternate, and no way's memory is another's.
"""

import csv
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks import peers
from nlcse_tune.config import SCRATCH, SYNTHETIC, RunConfig
from nlcse_tune.data import synthetic
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.data.columns import TextSource
from nlcse_tune.data.modalities import load_side
from nlcse_tune.data.text import load_text, scratch_tokenizer
from nlcse_tune.models.encoder import SentenceEncoder, build_encoder
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.halves import TAKE_STEP, make_halves
from nlcse_tune.training.steps import Half

STEPS = 100_000  # of the schedules: more than any benchmark takes
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward"}
Steps = Iterator[Any]  # a step is done each time it yields


def halves_of(config: RunConfig) -> tuple[SentenceEncoder, list[Half]]:
    """As `run_one` makes them."""
    data = fingerprints(config)
    source = TextSource(config.text, data["text"])
    tokenizer = scratch_tokenizer(source, config.encoder) if config.encoder.checkpoint == SCRATCH else None
    encoder = build_encoder(config.encoder, supervised=True, sides=config.sides, tokenizer=tokenizer)
    text = load_text(source, encoder.tokenizer)
    sides = [load_side(side) if side.reads_data else None for side in config.sides]
    return encoder, make_halves(encoder, text, sides, config, 1, RunContext(Path("nowhere")), STEPS)


def this_code(config: RunConfig) -> Steps:
    """A step as the loop takes it."""
    _, halves = halves_of(config)
    take_step = TAKE_STEP[config.train.optimizers]
    return (take_step(halves, step) for step in itertools.count())


def floor(config: RunConfig) -> Steps:
    """(c) Forward and backward of this code's encoder, on batches that are in memory; nothing else."""
    _, halves = halves_of(config)
    for half in halves:
        kept = [half.load(step) for step in range(4)]
        half.load = lambda step, kept=kept: kept[step % 4]  # type: ignore[method-assign,misc]
    return ([half.gradient(step) for half in halves] for step in itertools.count())


def trainer(config: RunConfig) -> Steps:
    """(a) sentence-transformers' own trainer, text alone: the same triplets, batch, length and rate."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from sentence_transformers.models import Pooling, Transformer
    from transformers import TrainerCallback

    layers = Transformer(config.encoder.checkpoint, max_seq_length=config.text.max_length)
    pooling = Pooling(layers.get_word_embedding_dimension(), "cls")
    columns = zip(*triplets(config), strict=True)
    data = Dataset.from_dict(dict(zip(("anchor", "positive", "negative"), map(list, columns), strict=True)))
    how = Arguments(
        output_dir=os.environ["NLCSE_CACHE"], use_cpu=True, max_steps=STEPS, save_strategy="no", report_to=[],
        logging_strategy="no", disable_tqdm=True, per_device_train_batch_size=config.text.batch_size,
        learning_rate=config.text.learning_rate, dataloader_drop_last=True,
    )  # fmt: skip
    model = SentenceTransformer(modules=[layers, pooling], device="cpu")
    paced = Paced()

    class EachStep(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            paced()

    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model, how, data, loss=loss, callbacks=[EachStep()]).train()
    return iter(())


def plain(config: RunConfig) -> Steps:
    """(b) The plain loop in the released way."""
    backbone, tokenizer = plain_encoder(config)
    sentences = token_ids(config, tokenizer)
    rest = {"text_batch": config.text.batch_size, "side_batch": config.side.batch_size if config.side else 0}
    return peers.plain_loop(backbone, sentences, side_files(config), **rest)


def products(config: RunConfig) -> Steps:
    """(c') Every matrix product of a step of this code, forward and backward, on operands of the same shapes."""
    _, halves = halves_of(config)
    seen = Products()
    for half in halves:
        inputs = half.load(0)
        half.load = lambda step, inputs=inputs: inputs  # type: ignore[method-assign,misc]
        with seen:
            half.gradient(0)
        half.close()
    with torch.no_grad():
        while True:
            for call in seen.calls:
                call()
            yield


class Products(TorchDispatchMode):
    """Takes down the matrix products within it, each as a call on operands of its own shapes and strides."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Any]] = []
        self.made: dict[tuple[Any, ...], Tensor] = {}  # operands of one shape are one tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in PRODUCTS:
            operands = [self._like(arg) if isinstance(arg, Tensor) else arg for arg in args]
            self.calls.append(lambda: func(*operands, **(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def _like(self, tensor: Tensor) -> Tensor:
        key = (tuple(tensor.shape), tensor.stride())
        if key not in self.made:
            expanded = 0 in tensor.stride()  # several elements in one place
            made = torch.empty(key[0]) if expanded else torch.empty_strided(*key)
            self.made[key] = made.to(tensor.dtype).normal_()
        return self.made[key]


def plain_encoder(config: RunConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The run's encoder as transformers has it."""
    if config.encoder.checkpoint != SCRATCH:
        kept: dict[str, Any] = {"trust_remote_code": False}
        model = AutoModel.from_pretrained(config.encoder.checkpoint, add_pooling_layer=False, **kept)
        return model, AutoTokenizer.from_pretrained(config.encoder.checkpoint, **kept)
    encoder, _ = halves_of(config.model_copy(update={"side": None}))
    model_config: Any = encoder.backbone.config
    model_config._attn_implementation = "sdpa"
    return AutoModel.from_config(model_config, add_pooling_layer=False), encoder.tokenizer


def triplets(config: RunConfig) -> list[tuple[str, ...]]:
    """The run's text, a row an item."""
    if config.text.data == SYNTHETIC:
        return list(synthetic.triplets())
    with Path(config.text.data).open(newline="") as stream:
        return [tuple(row) for row in itertools.islice(csv.reader(stream), 1, None)]


def token_ids(config: RunConfig, tokenizer: PreTrainedTokenizerBase) -> list[peers.Ids]:
    """The token ids of each item's sentences."""
    rows = triplets(config)
    ids = tokenizer([s for row in rows for s in row], truncation=True, max_length=config.text.max_length)["input_ids"]
    return [ids[at : at + 3] for at in range(0, len(ids), 3)]


def side_files(config: RunConfig) -> peers.SideFiles | None:
    """The files of the run's side; of embedded images, the same as PNG files."""
    if config.side is None:
        return None
    folder = Path(config.side.data)
    if config.side.data == SYNTHETIC:
        folder = Path(os.environ["NLCSE_CACHE"]) / "pictures"
        write_pictures(folder)
    kind = peers.Pictures if config.side.modality == "image" else peers.Clips
    return kind(sorted(path for path in folder.glob("*/*") if path.is_file()))


def write_pictures(folder: Path) -> None:
    """The embedded images as files, a folder per class."""
    for label in range(synthetic.IMAGE_CLASSES):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
        for index in range(synthetic.IMAGES_PER_CLASS):
            item = label * synthetic.IMAGES_PER_CLASS + index
            Image.fromarray(synthetic.image(label, item)).save(folder / f"class{label}" / f"{item:03d}.png")


def write_clips(folder: Path) -> None:
    """The embedded clips as files, a folder per speaker."""
    import soundfile

    for label in range(synthetic.SPEAKERS):
        (folder / f"speaker{label}").mkdir(parents=True, exist_ok=True)
        for index in range(synthetic.CLIPS_PER_SPEAKER):
            item = label * synthetic.CLIPS_PER_SPEAKER + index
            wave = synthetic.tone(label, item)
            soundfile.write(folder / f"speaker{label}" / f"{item:03d}.wav", wave, synthetic.SAMPLE_RATE)


def write_triplets(path: Path) -> None:
    """The embedded triplets, each sentence twice in a row: about as long as those of NLI, and cut at 32 tokens."""
    with path.open("w", newline="") as stream:
        rows = [[f"{sentence} and {sentence}, while {sentence}" for sentence in row] for row in synthetic.triplets()]
        csv.writer(stream).writerows([["sent0", "sent1", "hard_neg"], *rows])


def write_encoder(folder: Path) -> None:
    """A BERT of two layers, 128 wide, with 30,522 words, random weights and the embedded text's vocabulary."""
    from transformers import BertConfig, BertModel

    scratch = {"checkpoint": SCRATCH, "scratch": {"hidden_size": 64, "vocab_size": 2000}}
    raw = {"encoder": scratch, "text": {"data": SYNTHETIC, "objective": "supervised"}, "eval": {"data": SYNTHETIC}}
    encoder, _ = halves_of(RunConfig.model_validate(raw))
    encoder.tokenizer.save_pretrained(folder)
    shape = BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512)
    BertModel(shape, add_pooling_layer=False).save_pretrained(folder)


class Paced:
    """Called after each step: answers and waits where those that were asked for are done. The first is to warm up."""

    def __init__(self) -> None:
        self.left, self.began = 1, time.perf_counter()

    def __call__(self) -> None:
        self.left -= 1
        if self.left:
            return
        seconds = time.perf_counter() - self.began
        print(json.dumps({"seconds": seconds, "megabytes": peak_bytes() / 1e6}), file=ANSWERS, flush=True)
        if not (asked := sys.stdin.readline()):
            raise SystemExit
        self.left, self.began = int(asked), time.perf_counter()


def peak_bytes() -> int:
    """This process's peak, and what its loader processes hold of their own."""
    own = _kilobytes(Path("/proc/self/status"), "VmHWM:")
    children = [Path(f"/proc/{child}/smaps_rollup") for child in _children(os.getpid())]
    return 1024 * (own + sum(_kilobytes(path, "Pss:") for path in children))


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _kilobytes(path: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(field))


WAYS: dict[str, Callable[[RunConfig], Steps]] = {
    "this": this_code, "a": trainer, "b": plain, "c": floor, "products": products,
}  # fmt: skip
ANSWERS = sys.stdout


def main(words: Sequence[str]) -> None:
    """`python -m benchmarks.ways WAY CONFIG THREADS`, or `prepare FOLDER` for what stands in for data."""
    if words[0] == "prepare":
        folder = Path(words[1])
        write_encoder(folder / "encoder")
        write_triplets(folder / "triplets.csv")
        write_pictures(folder / "images")
        write_clips(folder / "audio")
        return
    torch.set_num_threads(int(words[2]))
    torch.manual_seed(0)
    np.random.seed(0)
    paced_steps = WAYS[words[0]](RunConfig.model_validate_json(words[1]))
    paced = Paced()
    for _ in paced_steps:
        paced()


if __name__ == "__main__":
    ANSWERS = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    main(sys.argv[1:])
