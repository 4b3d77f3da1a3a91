"""The embedded data: the same on every machine, and right about what means the same."""

import hashlib

import numpy as np

from nlcse_tune.data import synthetic


def test_the_data_are_pinned() -> None:
    """A change here must raise synthetic.VERSION: records of different data would pass for the same."""
    text = repr((synthetic.sentences(50), synthetic.triplets(50), synthetic.sts_pairs("dev", 50)))
    assert hashlib.md5(text.encode()).hexdigest() == "84b5b6413bc8cbcbaff5b3724b107bb9"
    pictures = np.stack([synthetic.image(label, 0) for label in range(3)])
    assert pictures.mean().round(1) == 61.7


def test_sentences_are_whole() -> None:
    words = {word for slot in synthetic.SLOTS for concept in slot for word in concept}
    for sentence in synthetic.sentences(200):
        assert len(set(sentence.split()) & words) >= 4


def test_no_wording_stands_for_two_concepts() -> None:
    words = [word for slot in synthetic.SLOTS for concept in slot for word in concept]
    assert len(words) == len(set(words))


def test_paraphrases_share_the_event_and_contradictions_do_not() -> None:
    concept = {w: (s, c) for s, slot in enumerate(synthetic.SLOTS) for c, names in enumerate(slot) for w in names}

    def event(sentence: str) -> set[tuple[int, int]]:
        return {concept[word] for word in sentence.split() if word in concept}

    for sentence, paraphrase, contradiction in synthetic.triplets(200):
        assert event(sentence) == event(paraphrase)
        assert len(event(sentence) & event(contradiction)) in (2, 3)
    for left, right, gold in synthetic.sts_pairs("dev", 200):
        shared = event(left) & event(right)
        assert gold == sum(synthetic.WEIGHTS[slot] for slot, _ in shared)


def test_splits_differ() -> None:
    assert synthetic.sts_pairs("dev") != synthetic.sts_pairs("stsb")


def test_tones_differ_by_speaker() -> None:
    pitches = []
    for label in range(synthetic.SPEAKERS):
        wave = synthetic.tone(label, 0)
        assert wave.dtype == np.float32
        assert np.abs(wave).max() < 1
        pitches.append(np.abs(np.fft.rfft(wave)).argmax() * synthetic.SAMPLE_RATE / len(wave))
    assert pitches == sorted(pitches)
