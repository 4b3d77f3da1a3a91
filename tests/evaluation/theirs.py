"""Folders of sentence-transformers, as its versions write them."""

import json
import shutil
from pathlib import Path
from typing import Any


def saved_by_them(folder: Path, source: Path, *rest: Any, **options: Any) -> Path:
    """A folder of sentence-transformers: a Transformer, then the modules `rest`."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    first = Transformer(str(source), max_seq_length=80)
    SentenceTransformer(modules=[first, *rest], device="cpu", **options).save(str(folder), create_model_card=False)
    return folder


def old_style(folder: Path, source: Path, own: dict[str, Any], name: str = "sentence_bert_config.json") -> Path:
    """A folder as version 2 of sentence-transformers wrote it: the Transformer in a folder of its own, flags."""
    shutil.copytree(source, folder / "0_Transformer")
    (folder / "0_Transformer" / name).write_text(json.dumps(own))
    (folder / "1_Pooling").mkdir()
    flags = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    kinds = ("Transformer", "Pooling", "Normalize")  # the last has a folder that holds nothing, which git does not keep
    (folder / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]))  # fmt: skip
    return folder
