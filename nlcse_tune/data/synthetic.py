"""The embedded data set: a small grammar of events, textured shapes, voiced tones. Nothing is downloaded.

An event is (agent, action, object, place). Each slot holds a concept with several wordings, so two sentences may
share an event and no content word: an encoder has to learn which wordings mean the same. All seeds are fixed.
"""

import numpy as np

VERSION = "synthetic-1"  # the data's fingerprint: raise it with any change of what is made here

AGENTS = (
    ("dog", "hound", "canine"), ("cat", "kitten", "feline"), ("woman", "lady", "female"), ("man", "guy", "gentleman"),
    ("child", "kid", "youngster"), ("doctor", "physician", "medic"), ("teacher", "instructor", "tutor"),
    ("sailor", "seaman", "mariner"), ("thief", "robber", "burglar"), ("farmer", "grower", "cultivator"),
    ("soldier", "trooper", "warrior"), ("singer", "vocalist", "crooner"),
)  # fmt: skip
ACTIONS = (
    ("carries", "hauls", "lugs"), ("finds", "discovers", "locates"), ("breaks", "smashes", "shatters"),
    ("buys", "purchases", "acquires"), ("hides", "conceals", "buries"), ("repairs", "fixes", "mends"),
    ("throws", "tosses", "hurls"), ("watches", "observes", "eyes"), ("cleans", "washes", "scrubs"),
    ("paints", "colors", "decorates"), ("steals", "swipes", "pinches"), ("pushes", "shoves", "nudges"),
)  # fmt: skip
OBJECTS = (
    ("ball", "sphere"), ("car", "automobile"), ("stone", "rock"), ("boat", "vessel"), ("sofa", "couch"),
    ("cup", "mug"), ("bag", "sack"), ("hat", "cap"), ("picture", "image"), ("gift", "present"), ("lamp", "lantern"),
    ("rug", "carpet"),
)  # fmt: skip
PLACES = (
    ("house", "home"), ("forest", "woods"), ("shop", "store"), ("street", "road"), ("beach", "shore"),
    ("hill", "mound"), ("garden", "yard"), ("harbor", "port"), ("cellar", "basement"), ("meadow", "field"),
    ("station", "depot"), ("church", "chapel"),
)  # fmt: skip
SLOTS = (AGENTS, ACTIONS, OBJECTS, PLACES)
WEIGHTS = (1.25, 1.75, 1.25, 0.75)  # what each shared slot adds to the gold score; the sum is 5
TEMPLATES = (
    "the {0} {1} the {2} near the {3}",
    "near the {3} a {0} {1} a {2}",
    "a {0} {1} the {2} by the {3}",
    "by the {3} the {0} {1} a {2}",
)
Event = list[int]  # the index of a concept in each of SLOTS


def _event(rng: np.random.Generator) -> Event:
    return [int(rng.integers(len(slot))) for slot in SLOTS]


def _changed(event: Event, which: list[int], rng: np.random.Generator) -> Event:
    other = list(event)
    for slot in which:
        other[slot] = (other[slot] + int(rng.integers(1, len(SLOTS[slot])))) % len(SLOTS[slot])
    return other


def _say(event: Event, rng: np.random.Generator) -> str:
    """One of the event's sentences: a template, and a wording for each slot."""
    concepts = [SLOTS[slot][concept] for slot, concept in enumerate(event)]
    words = [concept[int(rng.integers(len(concept)))] for concept in concepts]
    return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(*words)


def sentences(count: int = 4000, seed: int = 0) -> list[str]:
    """Unlabelled sentences."""
    rng = np.random.default_rng([101, seed])
    return [_say(_event(rng), rng) for _ in range(count)]


def triplets(count: int = 4000, seed: int = 0) -> list[tuple[str, str, str]]:
    """(sentence, paraphrase, contradiction): the same event in other words, and one with one or two slots changed."""
    rng = np.random.default_rng([102, seed])
    rows = []
    for _ in range(count):
        event = _event(rng)
        which = rng.choice(4, size=int(rng.integers(1, 3)), replace=False).tolist()
        rows.append((_say(event, rng), _say(event, rng), _say(_changed(event, which, rng), rng)))
    return rows


def labelled(task: str, count: int) -> list[tuple[list[str], int]]:
    """Items of a transfer task: a sentence and which half of a slot's concepts it has; in TREC which sixth.

    Of MRPC: two sentences, and whether they share their event.
    """
    rng = np.random.default_rng([106, *task.encode()])
    slot, concepts = sum(task.encode()) % 4, 2 if task == "trec" else 6
    items = []
    for _ in range(count):
        event = _event(rng)
        if task == "mrpc":
            same = int(rng.integers(2))
            other = event if same else _changed(event, [int(rng.integers(4))], rng)
            items.append(([_say(event, rng), _say(other, rng)], same))
        else:
            items.append(([_say(event, rng)], event[slot] // concepts))
    return items


def sts_pairs(split: str, count: int = 400) -> list[tuple[str, str, float]]:
    """(sentence, sentence, gold 0 to 5): the gold score adds WEIGHTS over the slots that the two events share."""
    rng = np.random.default_rng([103, *split.encode()])
    rows = []
    for _ in range(count):
        event = _event(rng)
        which = rng.choice(4, size=int(rng.integers(0, 5)), replace=False).tolist()
        other = _changed(event, which, rng)
        gold = sum(w for w, a, b in zip(WEIGHTS, event, other, strict=True) if a == b)
        rows.append((_say(event, rng), _say(other, rng), float(gold)))
    return rows


IMAGE_CLASSES, IMAGES_PER_CLASS, IMAGE_PIXELS = 6, 40, 64
SPEAKERS, CLIPS_PER_SPEAKER, SAMPLE_RATE = 6, 30, 16000


def image(label: int, index: int) -> np.ndarray:
    """A textured shape, uint8 (64, 64, 3): the class sets shape and stripe angle, the index colour and place."""
    rng = np.random.default_rng([104, label, index])
    y, x = np.mgrid[0:IMAGE_PIXELS, 0:IMAGE_PIXELS] / IMAGE_PIXELS - 0.5
    x, y = x - rng.uniform(-0.15, 0.15), y - rng.uniform(-0.15, 0.15)
    radius, angle = rng.uniform(0.2, 0.35), np.pi * label / IMAGE_CLASSES
    distance = (np.hypot(x, y), np.maximum(abs(x), abs(y)), abs(x) + abs(y))[label % 3]
    stripes = 0.5 + 0.5 * np.sin(rng.uniform(40, 60) * (x * np.cos(angle) + y * np.sin(angle)))
    fore, back = rng.uniform(0.4, 1, 3), rng.uniform(0, 0.5, 3)
    inside = (distance < radius)[..., None]
    pixels = np.where(inside, stripes[..., None] * fore, back) + rng.normal(0, 0.03, (IMAGE_PIXELS, IMAGE_PIXELS, 3))
    return (pixels.clip(0, 1) * 255).astype(np.uint8)


def tone(label: int, index: int) -> np.ndarray:
    """A voiced tone, float32 (samples,) at 16 kHz: the speaker sets pitch and formant, the index length and vibrato."""
    rng = np.random.default_rng([105, label, index])
    time = np.arange(int(SAMPLE_RATE * rng.uniform(0.4, 0.9))) / SAMPLE_RATE
    pitch = 90 * 1.22**label * (1 + 0.02 * np.sin(2 * np.pi * rng.uniform(4, 7) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    formant = 500 + 260 * label
    harmonics = np.arange(1, 20)
    loudness = np.exp(-(((harmonics * pitch.mean() - formant) / 600) ** 2)) + 0.1 / harmonics
    wave = (loudness[:, None] * np.sin(harmonics[:, None] * phase)).sum(0)
    return np.asarray(0.3 * wave / abs(wave).max() + rng.normal(0, 0.005, len(time)), dtype=np.float32)
