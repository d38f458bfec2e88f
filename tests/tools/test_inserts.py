import pytest

from config.errors import RylaError
from tools.errors_doc import Words, below, tables
from tools.inserts import PAGES, PARTS, ROOT, names, rendered


@pytest.mark.parametrize("page", PAGES)
def test_the_generated_parts_are_current(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")

    assert names(text)
    assert text == rendered(text), "run: python -m tools.inserts"


def test_every_part_stands_on_a_page() -> None:
    standing = [name for page in PAGES for name in names((ROOT / page).read_text("utf-8"))]

    assert sorted(standing) == sorted(PARTS)


def test_a_part_takes_the_place_of_what_stood_there() -> None:
    page = "a\n<!-- generated: old paths, by hand -->\n\nold\n\n<!-- end of old paths -->\nb\n"

    assert rendered(page) == rendered(rendered(page))
    assert "\nold\n" not in rendered(page)
    assert rendered(page).endswith("\n\n<!-- end of old paths -->\nb\n")


def test_there_are_words_for_every_error_and_no_other() -> None:
    codes = {error.code for error in below(RylaError)} - {RylaError.code}

    assert set(Words.read().codes) == codes
    assert all(f"| `{code}` |" in tables() for code in codes)
    assert all(len(words) == 2 and all(words) for words in Words.read().codes.values())
