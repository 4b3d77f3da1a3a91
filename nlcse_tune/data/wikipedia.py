"""A million sentences of a Wikipedia, drawn as SimCSE's are: whole articles at random, title first, sentences in order.

Its file begins with the title `YMCA in South Australia` and goes on with the sentences of that article. Articles are
read from a dump (`*-pages-articles.xml.bz2`) or from the Parquet files of `wikimedia/wikipedia`, once: an article whose
turn is later than that of a million sentences already at hand is not even stripped of its markup.
"""

import bz2
import hashlib
import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from nlcse_tune.data.bounds import LINE
from nlcse_tune.data.download import Progress, silent
from nlcse_tune.errors import DataError

Article = tuple[str, Callable[[], str]]  # a title, and what makes its plain text
SHORTEST = {"zh": 4}  # characters of a sentence; of other languages
SHORTEST_ELSE = 10
TOLD_EVERY = 10_000  # articles
_ENDS = re.compile(r"[.!?…]+(?:\s?[\"'»“”’)\]])*\s+")
_ENDS_ZH = re.compile("[。！？…]+[”’」』）]*")
_CLOSED = re.compile("[.!?…。！？][\"'»“”’)\\]」』）]*$")  # a paragraph that is neither a heading nor a cell of a table
_OPENING = "\"'«„“‘([「『（ "
# What a full stop after does not end a sentence, besides initials, ordinals (3. Mai) and words with stops (z.B.).
_SHORT = {
    "dr", "prof", "st", "nr", "vgl", "bzw", "ca", "mr", "mrs", "ms", "vs", "jr", "sr", "no", "vol", "mme", "mlle",
    "év", "им", "тыс", "млн", "млрд", "гг", "см", "ул", "род", "geb", "gest", "sog", "hrsg", "jh", "bd", "evtl",
    "ggf", "ing", "hl", "lat", "engl", "franz", "griech", "апр", "авг", "окт",
}  # fmt: skip
_UNSEEN = {"table", "ref", "gallery", "math", "timeline", "score", "syntaxhighlight"}


def sample(
    articles: Iterable[Article], count: int, seed: int, language: str, told: Progress = silent, what: str = ""
) -> list[str]:
    """`count` sentences of articles in a random order that seed and titles alone decide, not that of the files.

    DataError where all articles together have fewer.
    """
    kept: list[tuple[int, str, list[str]]] = []  # a heap, the last in the order on top
    total = 0
    for number, (title, text) in enumerate(articles, start=1):
        if number % TOLD_EVERY == 0:
            told(f"{what}: articles read; sentences drawn", min(total, count), count)
        turn = -_turn(seed, title)
        if total >= count and turn < kept[0][0]:
            continue
        lines = [title, *sentences(text(), language)]
        if len(lines) == 1:
            continue  # a list, or a page of nothing but markup
        heapq.heappush(kept, (turn, title, lines))
        total += len(lines)
        while total - len(kept[0][2]) >= count:
            total -= len(heapq.heappop(kept)[2])
    if total < count:
        raise DataError(f"{what}: holds {total:,} sentences, and {count:,} are drawn; give a whole dump")
    drawn = [line for _, _, lines in sorted(kept, key=lambda one: (-one[0], one[1])) for line in lines]
    return drawn[:count]


def _turn(seed: int, title: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {title}".encode(), digest_size=8).digest(), "big")


def sentences(text: str, language: str) -> list[str]:
    """The sentences of a plain text, one paragraph per line; headings and cells, which end without a stop, are none."""
    found: list[str] = []
    shortest = SHORTEST.get(language, SHORTEST_ELSE)
    for paragraph in text.splitlines():
        if _CLOSED.search(paragraph := " ".join(paragraph.split())):
            parts = _split_zh(paragraph) if language == "zh" else _split(paragraph)
            found += [part for part in parts if shortest <= len(part) <= LINE]
    return found


def _split(paragraph: str) -> Iterator[str]:
    start = 0
    for match in _ENDS.finditer(paragraph):
        following = paragraph[match.end() :].lstrip(_OPENING)[:1]
        words = paragraph[start : match.start()].split()
        if (following.isupper() or following.isdigit()) and not (words and _is_short(words[-1], match[0])):
            yield paragraph[start : match.end()].strip()
            start = match.end()
    yield paragraph[start:].strip()


def _is_short(word: str, stop: str) -> bool:
    word = word.lstrip(_OPENING)
    if not stop.startswith(".") or stop.startswith(".."):
        return False
    initial, ordinal = len(word) == 1 and word.isalpha(), word.isdigit() and len(word) <= 2
    return initial or ordinal or "." in word or word.lower() in _SHORT


def _split_zh(paragraph: str) -> Iterator[str]:
    start = 0
    for match in _ENDS_ZH.finditer(paragraph):
        yield paragraph[start : match.end()].strip()
        start = match.end()
    yield paragraph[start:].strip()


def articles_in(path: Path) -> Iterator[Article]:
    """The articles of a dump or of a Parquet file. DataError where it is not whole, or in another encoding."""
    if path.suffix == ".parquet":
        return _rows(path)
    return _dump(path)


def _rows(path: Path) -> Iterator[Article]:
    from pyarrow import ArrowException, parquet

    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1000, columns=["title", "text"]):
            titles, texts = (column.to_pylist() for column in batch.columns)
            for title, text in zip(titles, texts, strict=True):
                yield title, partial(str, text)
    except (ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: not readable as Parquet with the columns title and text ({error})") from None


def _dump(path: Path) -> Iterator[Article]:
    try:
        with (bz2.open if path.suffix == ".bz2" else open)(path, "rb") as stream:
            yield from _pages(stream)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(
            f"{path}: not readable as a dump of MediaWiki ({error}): it is cut, or not in the encoding that its first "
            "line names (a dump without one is UTF-8; `iconv -f latin1 -t utf-8` converts)"
        ) from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: not readable ({error}); download it again") from None


def _pages(stream: IO[Any]) -> Iterator[Article]:
    """Articles alone: no redirects, no talk, no templates."""
    root = None
    for event, element in ElementTree.iterparse(stream, events=("start", "end")):
        root = element if root is None else root
        if event == "end" and element.tag.rpartition("}")[2] == "page":
            text = element.findtext("{*}revision/{*}text") or ""
            if element.findtext("{*}ns") == "0" and element.find("{*}redirect") is None:
                yield " ".join((element.findtext("{*}title") or "").split()), partial(plain, text)
            root.clear()


def plain(wikitext: str) -> str:
    """Wikitext without its markup, tables, notes, and links to files and categories."""
    import mwparserfromhell

    code = mwparserfromhell.parse(wikitext)
    unseen = code.filter_tags(matches=lambda tag: str(tag.tag).lower() in _UNSEEN)
    # A colon ends the name of a space, in whatever language: Datei:, Категория:, 文件:.
    for node in [*unseen, *code.filter_wikilinks(matches=lambda link: ":" in str(link.title))]:
        with suppress(ValueError):  # gone with what it was in
            code.remove(node)
    return str(code.strip_code())
