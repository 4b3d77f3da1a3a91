"""Sentences of a Wikipedia: dumps, encodings, markup, and a draw that hangs on seed and titles alone."""

import bz2
import random
from pathlib import Path

import pytest

from nlcse_tune.data.wikipedia import Article, articles_in, plain, sample, sentences
from nlcse_tune.errors import DataError

PAGE = """<page><title>{title}</title><ns>{ns}</ns>{redirect}<revision><text>{text}</text></revision></page>"""
GERMAN = "'''Köln''' liegt am [[Rhein]]. Sie wurde am 3. Mai gegründet, z. B. von Dr. Müller. Größe zählt!"


def dump(*pages: str, encoding: str = "", coded: str = "utf-8") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?>' if encoding else ""
    space = 'xmlns="http://www.mediawiki.org/xml/export-0.11/"'
    return f"{head}<mediawiki {space}><siteinfo/>{''.join(pages)}</mediawiki>".encode(coded)


def page(title: str, text: str = GERMAN, ns: int = 0, redirect: str = "") -> str:
    return PAGE.format(title=title, ns=ns, text=text, redirect=redirect)


def read(path: Path, content: bytes) -> list[tuple[str, str]]:
    path.write_bytes(content)
    return [(title, text()) for title, text in articles_in(path)]


def test_a_dump_gives_articles_alone(tmp_path: Path) -> None:
    pages = (page("Köln"), page("Diskussion:Köln", ns=1), page("Cologne", redirect='<redirect title="Köln" />'))
    ((title, text),) = read(tmp_path / "de.xml.bz2", bz2.compress(dump(*pages)))
    assert title == "Köln"
    assert sentences(text, "de") == [
        "Köln liegt am Rhein.",
        "Sie wurde am 3. Mai gegründet, z. B. von Dr. Müller.",
        "Größe zählt!",
    ]


def test_a_dump_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "de.xml"
    ((title, _),) = read(path, dump(page("Köln"), encoding="ISO-8859-1", coded="latin-1"))
    assert title == "Köln"  # it says so, and is read so
    with pytest.raises(DataError, match=r"de.xml: not readable as a dump of MediaWiki .*not in the encoding that its"):
        read(path, dump(page("Köln"), coded="latin-1"))
    with pytest.raises(DataError, match="not in the encoding"):
        read(path, dump(page("Köln"), encoding="klingon", coded="latin-1"))


def test_a_cut_dump(tmp_path: Path) -> None:
    whole = bz2.compress(dump(*(page(f"{n}", f"Satz {random.Random(n).random()}.") for n in range(200))))
    with pytest.raises(DataError, match=r"de.xml.bz2: not readable \(Compressed file ended.*download it again"):
        read(tmp_path / "de.xml.bz2", whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"de.xml.bz2: not readable \(Invalid data stream\)"):
        read(tmp_path / "de.xml.bz2", b"<html>")
    with pytest.raises(DataError, match=r"a.parquet: not readable as Parquet"):
        read(tmp_path / "a.parquet", b"<html>")


def test_markup_goes() -> None:
    text = plain(
        "{{Infobox|x=[[Datei:Y.jpg]]}}[[Datei:A.jpg|mini|Ein [[Bild]].]]Ein Satz<ref>Ein Beleg.</ref> mit "
        "[[Ziel|Text]].\n"
        "== Titel ==\n{| class=x\n| Zelle.\n|}\n* Punkt\n[[Kategorie:Ort]]"
    )
    assert sentences(text, "de") == ["Ein Satz mit Text."]


def test_sentences_of_the_papers_languages() -> None:
    assert sentences("Он родился в 1990 г. в Москве. Учился в МГУ!", "ru") == [
        "Он родился в 1990 г. в Москве.",
        "Учился в МГУ!",
    ]
    assert sentences("« Oui, M. Dupont. » Il part demain. Où ?", "fr") == ["« Oui, M. Dupont. »", "Il part demain."]
    assert sentences("北京是中国的首都。它很大！\n歷史", "zh") == ["北京是中国的首都。", "它很大！"]


def articles(count: int) -> list[Article]:
    return [
        (f"Title {n}", lambda n=n: f"This is one of {n} pages. And this is two of {n} pages.") for n in range(count)
    ]  # type: ignore[misc]


def test_the_draw_hangs_on_seed_and_titles_alone() -> None:
    given = articles(300)
    drawn = sample(given, 100, 42, "en")
    shuffled = random.Random(0).sample(given, len(given))
    assert len(drawn) == 100
    assert sample(shuffled, 100, 42, "en") == drawn
    assert sample(given, 100, 43, "en") != drawn
    assert drawn[0].startswith("Title ")
    assert drawn[1:3] == [f"This is one of {drawn[0][6:]} pages.", f"And this is two of {drawn[0][6:]} pages."]
    assert sample(given, 40, 42, "en") == drawn[:40]


def test_of_most_articles_only_the_title_is_looked_at() -> None:
    read = 0

    def counted(title: str, text: str) -> Article:
        def made() -> str:
            nonlocal read
            read += 1
            return text

        return title, made

    sample([counted(title, text()) for title, text in articles(3000)], 30, 42, "en")
    assert read < 300


def test_too_few_sentences() -> None:
    with pytest.raises(DataError, match="dump: holds 30 sentences, and 31 are drawn; give a whole dump"):
        sample(articles(10), 31, 42, "en", what="dump")
