"""Texts made smaller or noisy: the same at each seed, and as much as is said."""

from pathlib import Path

import pytest

from nlcse_tune.config import TextConfig
from nlcse_tune.data.altered import altered
from nlcse_tune.data.columns import TextSource, check_rows, load_columns
from nlcse_tune.errors import DataError

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SENTENCES = [" ".join(f"{word}{i}" for word in WORDS) for i in range(300)]


def config(**fields: object) -> TextConfig:
    return TextConfig(data="synthetic", batch_size=2, **fields)  # type: ignore[arg-type]


def test_a_part_keeps_its_order_and_lies_in_a_larger_part() -> None:
    rows = [str(i) for i in range(1000)]
    (few, also), (more, _) = (altered((rows, rows), config(limit=n)) for n in (30, 100))
    assert (len(few), len(more)) == (30, 100)
    assert few == also == sorted(few, key=int)
    assert {*few} < {*more}
    assert few != rows[:30]
    assert altered((rows,), config(limit=5000)) == (rows,)


def test_noise_is_as_much_as_is_said_and_the_same_twice() -> None:
    (deleted,) = altered((SENTENCES,), config(deletion=0.3))
    share = sum(len(sentence.split()) for sentence in deleted) / 3000
    assert share == pytest.approx(0.7, abs=0.03)
    assert all(set(after.split()) <= set(before.split()) for before, after in zip(SENTENCES, deleted, strict=True))
    assert deleted == altered((SENTENCES,), config(deletion=0.3))[0]

    (inserted,) = altered((SENTENCES,), config(insertions=2))
    known = {word for sentence in SENTENCES for word in sentence.split()}
    assert all(len(sentence.split()) == 12 and {*sentence.split()} <= known for sentence in inserted)

    (swapped,) = altered((SENTENCES,), config(swaps=1))
    for before, after in zip(SENTENCES, swapped, strict=True):
        assert sorted(before.split()) == sorted(after.split())
        assert sum(a != b for a, b in zip(before.split(), after.split(), strict=True)) == 2


def test_each_column_has_noise_of_its_own_and_no_sentence_vanishes() -> None:
    first, second = altered((SENTENCES, SENTENCES), config(deletion=0.5))
    assert first != second
    assert all(altered((["word"] * 50,), config(deletion=0.99, swaps=3))[0])


def test_what_is_kept_between_runs_hangs_on_it() -> None:
    plain = TextSource(config(), "c").key
    assert plain == "reading 1, unsupervised, c"  # as before there was any of this
    keys = {TextSource(config(**change), "c").key for change in ({"limit": 9}, {"deletion": 0.1}, {"swaps": 2})}
    assert len({plain, *keys}) == 4


def test_a_part_must_fill_a_batch(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("".join(f"sentence {i}.\n" for i in range(50)))
    own = TextConfig(data=str(text), batch_size=32, limit=20)
    for call in (lambda: load_columns(own), lambda: check_rows(own, 50)):
        with pytest.raises(DataError, match=r"a.txt: 20 rows do not fill one batch; text.batch_size is 32"):
            call()
    assert len(load_columns(own.model_copy(update={"limit": 40}))[0]) == 40
