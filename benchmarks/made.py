"""Text, pictures, clips, a dev set and encoders of the real sizes for `benchmarks/gpu.py`, from nothing but a seed."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers import AutoConfig, AutoModel

from nlcse_tune.config import EncoderConfig, RunConfig, ScratchConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data.text import train_tokenizer
from nlcse_tune.models.side_embedding import SHAPES
from nlcse_tune.study import find_study

SIZES: dict[str, dict[str, Any]] = {
    "bert": {"vocab_size": 30_522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "roberta-large": {"vocab_size": 50_265, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    "tiny": {"vocab_size": 1_000, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
}


def prepare(folder: Path, tiny: bool) -> None:
    """Text of 40,000 sentences, most longer than 32 tokens; 800 pictures and 400 clips in ten classes; a dev set."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("aeioukstmnlr"), 5)) for _ in range(300)])
    sentences = [" ".join(rng.choice(words, rng.integers(8, 48))) for _ in range(2_000 if tiny else 40_000)]
    (folder / "text.txt").write_text("\n".join(sentences))
    (folder / "STS" / "STSBenchmark").mkdir(parents=True)
    pairs = zip(sentences[:1500], sentences[-1500:], strict=True)
    lines = [f"g\tf\ty\t{n}\t{rng.uniform(0, 5):.2f}\t{a}\t{b}" for n, (a, b) in enumerate(pairs)]
    (folder / "STS" / "STSBenchmark" / "sts-dev.csv").write_text("\n".join(lines[: 100 if tiny else None]))
    for item in range(40 if tiny else 800):
        (own := folder / "image" / f"c{item % 10}").mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 255, (25, 33, 3), dtype=np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(own / f"{item}.jpg", quality=90)
    for item in range(20 if tiny else 400):
        (own := folder / "audio" / f"c{item % 10}").mkdir(parents=True, exist_ok=True)
        with wave.open(str(own / f"{item}.wav"), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(16_000)
            stream.writeframes((rng.standard_normal(160_000) * 3000).astype("<i2").tobytes())


def encoder_folder(folder: Path, name: str) -> Path:
    """Random weights of an encoder's real size, and a tokenizer of the generated text."""
    own = folder / name
    if not own.exists():
        sentences = (folder / "text.txt").read_text().splitlines()[:2000]
        tokenizer = train_tokenizer((sentences,), EncoderConfig(scratch=ScratchConfig(vocab_size=900)))
        width = SIZES[name]["hidden_size"]
        config = AutoConfig.for_model(
            name.split("-")[0].replace("tiny", "bert"), **SIZES[name], intermediate_size=4 * width,
            max_position_embeddings=514, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        AutoModel.from_config(config, add_pooling_layer=False).save_pretrained(own)
        tokenizer.save_pretrained(own)
    return own


def configuration(folder: Path, row: str, steps: int) -> RunConfig:
    """The shipped study of a row, on what was prepared."""
    encoder, side = row.split()
    study = f"{'visual' if side == 'image' else 'audio'}cse-{encoder.replace('tiny', 'bert')}"
    changes: dict[str, Any] = {
        "encoder.checkpoint": str(encoder_folder(folder, encoder)), "text.data": str(folder / "text.txt"),
        "side.data": str(folder / side), "side.checkpoint": None, "eval.data": str(folder),
        "train.precision": "bf16", "train.max_steps": steps, "train.eval_every": max(1, steps // 2),
        "train.checkpoint_every": 10**6, "train.epochs": 4,
    }  # fmt: skip
    if encoder == "tiny":
        changes |= {"text.batch_size": 4, "side.batch_size": 2}
    return override(find_study(study).config, changes)


def flop(config: RunConfig, encoder: str) -> float:
    """Of a step's matrix products, both halves, forward and backward; the last layer is asked for one state a row."""
    layers, width = SIZES[encoder]["num_hidden_layers"], SIZES[encoder]["hidden_size"]
    assert config.side is not None
    _, (height, breadth), patch = SHAPES[config.side.modality]
    states = 1 + (height // patch) * (breadth // patch)
    halves = ((2 * config.text.batch_size, config.text.max_length), (2 * config.side.batch_size, states))
    weights = (12 * (layers - 1) + 2) * width**2
    return float(sum(r * t * (6 * weights + 12 * (layers - 1) * t * width) for r, t in halves))
