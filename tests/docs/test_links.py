"""Every link within the project leads somewhere, and every page can be reached."""

import re
from functools import cache
from pathlib import Path

import pytest

from pipeline.modal_app.container_files import PACKAGES
from tests.support.doc_blocks import ROOT, pages

_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?)$", re.MULTILINE)
PAGES = pages()


def links(page: Path) -> list[str]:
    text = _CODE.sub("", page.read_text("utf-8"))
    return [first or second for first, second in _LINK.findall(text)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: dict[str, int] = {}
    made = set()
    for heading in _HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        made.add(f"{slug}-{count}" if count else slug)
    return frozenset(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def linked(page: Path) -> set[Path]:
    return {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}


def test_the_readme_leads_to_the_index_and_the_index_to_every_page_of_docs() -> None:
    index = ROOT / "docs" / "README.md"

    assert index in linked(ROOT / "README.md")
    assert {page for page in PAGES if page.parent == index.parent} - {index} <= linked(index)


def test_pages_that_the_code_speaks_of_exist() -> None:
    packages = (*PACKAGES, "clients/ryla_client")
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    named = {
        name for file in files for name in re.findall(r"\bdocs/[\w-]+\.md", file.read_text("utf-8"))
    }

    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).is_file()] == []
