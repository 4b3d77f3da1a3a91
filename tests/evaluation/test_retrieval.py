"""Appendix C's retrieval: the nearest sentences of a corpus, the query itself left out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nlcse_tune.data import synthetic
from nlcse_tune.errors import ConfigError, DataError, RunError
from nlcse_tune.evaluation.retrieval import load_corpus, retrieve
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from tests.models.tiny import checkpoint

torch.set_num_threads(1)


@pytest.fixture
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return load_encoder(checkpoint("bert", tmp_path_factory), pooler="avg")


def by_hand(encoder: SentenceEncoder, query: str, corpus: list[str]) -> list[tuple[str, float]]:
    """Every sentence of the corpus but the query, nearest first."""

    def vector(sentence: str) -> torch.Tensor:
        batch = encoder.tokenizer(sentence, return_tensors="pt")
        return encoder.embed(batch["input_ids"], batch["attention_mask"])[0]

    with torch.no_grad():
        cosines = [(s, float(torch.cosine_similarity(vector(query), vector(s), dim=0))) for s in corpus if s != query]
    return sorted(cosines, key=lambda pair: -pair[1])


def test_nearest_first_and_never_the_query(encoder: SentenceEncoder) -> None:
    corpus = list(dict.fromkeys(synthetic.sentences(60)))
    queries = [corpus[5], "  the   dog carries a ball near the house "]  # one inside the corpus, one outside
    retrieved = retrieve(encoder, queries, corpus, top=4, precision="fp32")
    assert list(retrieved) == [corpus[5], "the dog carries a ball near the house"]
    for query, hits in retrieved.items():
        expected = by_hand(encoder, query, corpus)[:4]
        assert [hit.sentence for hit in hits] == [sentence for sentence, _ in expected]
        np.testing.assert_allclose([hit.cosine for hit in hits], [cosine for _, cosine in expected], atol=1e-5)


def test_top_beyond_the_corpus_gives_what_there_is(encoder: SentenceEncoder) -> None:
    corpus = ["stone", "the dog", "a lamp"]
    assert len(retrieve(encoder, ["stone"], corpus, top=9)["stone"]) == 2
    assert len(retrieve(encoder, ["a cat"], corpus, top=9)["a cat"]) == 3


def test_bad_requests_and_models_are_errors(encoder: SentenceEncoder) -> None:
    with pytest.raises(ConfigError, match="retrieval needs a query and --top of at least 1"):
        retrieve(encoder, [], ["a", "b"])
    with pytest.raises(ConfigError, match="--top 0"):
        retrieve(encoder, ["a"], ["a", "b"], top=0)
    with torch.no_grad():
        encoder.backbone.encoder.layer[-1].output.LayerNorm.weight.zero_()  # type: ignore[index, union-attr]
        encoder.backbone.encoder.layer[-1].output.LayerNorm.bias.fill_(1)  # type: ignore[index, union-attr]
    with pytest.raises(RunError, match="are the same vector"):
        retrieve(encoder, ["stone"], ["the dog", "a lamp"])


def test_load_corpus(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes("a  dog\r\n\nstone\na dog\nß\n".encode())
    assert load_corpus(path) == ["a dog", "stone", "ß"]
    path.write_bytes(b"a dog\nstone \xe9\n")
    with pytest.raises(DataError, match=r"corpus\.txt:2: not UTF-8"):
        load_corpus(path)
    path.write_text("a dog\n")
    with pytest.raises(DataError, match=r"corpus\.txt: 1 distinct sentences, nothing to choose from"):
        load_corpus(path)
    with pytest.raises(DataError, match=r"nothing\.txt: not found: give a UTF-8 text file with one sentence per line"):
        load_corpus(tmp_path / "nothing.txt")


@pytest.mark.parametrize("query", ["stone", "a cat"])
def test_a_zero_vector_is_an_error_that_names_its_sentence(
    encoder: SentenceEncoder, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, word = encoder.embed, encoder.tokenizer("stone")["input_ids"][1]

    def embed(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where((ids[:, 1] == word)[:, None], 0.0, whole(ids, mask))

    monkeypatch.setattr(encoder, "embed", embed)
    with pytest.raises(RunError, match="'stone' has the zero vector"):
        retrieve(encoder, [query], ["stone", "the dog", "a lamp"] if query != "stone" else ["the dog", "a lamp"])
