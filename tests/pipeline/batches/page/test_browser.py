"""A batch's page in a real browser. `make browser` runs these; they take a minute."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.batches.batch import Batch
from pipeline.batches.page.html import render_page
from pipeline.contract.keys import result_key
from pipeline.contract.result import MissingView
from pipeline.reviews.review import Mark, Verdict, change_review
from pipeline.reviews.review_file import ReviewFile, read_review_file
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batch_pages import (
    fill_batch,
    large_batch,
    made_up_page,
    made_view,
    set_verdict,
    write_page,
)
from tests.support.batches import a_batch, end_sheet
from tests.support.browser import Browser, Tab, open_browser

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1440, 900), (390, 844)
MOST_BYTES = 20_000_000
MOST_SECONDS = 2.0
HOSTILE = (
    "<script>window.broken = 1</script>",
    "</script><img src=x onerror='window.broken = 1'>",
    "<!-- <script> \"quoted\" 'and' `ticked` ${window.broken = 1} &lt;b&gt;",
    "\u202egnp.exe\u202d עברית and العربية\u2066",
    "javascript:window.broken=1//" + "W" * 172,
    "__proto__",
    "\u0000\u2028\u2029\ufeff\U0001f600" * 8,
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.tab() as tab:
        yield tab
        assert tab.complaints() == []
        assert tab.requests() == []


@pytest.fixture
def store() -> SafeStore:
    return SafeStore(MemoryStore())


@pytest.fixture
def page(store: SafeStore, tmp_path: Path) -> Path:
    """Of five sheets; the fourth lacks a view, the second cannot be trained on."""
    batch = a_batch("Ann", "Bob", "Cleo", "Dan", "Eve")
    fill_batch(store, batch)
    return write_page(made_up_page(store, batch), tmp_path / "page.html")


def characters(tab: Tab) -> list[str]:
    """Of the sheets that are shown, in their order."""
    script = "[...document.querySelectorAll('article:not([hidden]) h2')].map((e) => e.textContent)"
    found: list[str] = tab.run(script)
    return found


def chosen(tab: Tab) -> str:
    """What the dock says of the current view."""
    return str(tab.run("document.querySelector('#told .title').textContent"))


def choose(tab: Tab, control: str, value: str) -> None:
    tab.run(
        f"(() => {{ const c = document.getElementById('{control}'); c.value = '{value}';"
        " c.dispatchEvent(new Event(c.matches('select') ? 'change' : 'input')); })()"
    )


def toggle(tab: Tab, name: str) -> None:
    tab.run(f"document.querySelector('.toggle[data-value={name}]').click()")


def press(tab: Tab, keys: str) -> None:
    for key in keys.split():
        tab.press(key)


def saved(browser: Browser, tab: Tab, batch: str = "autumn") -> ReviewFile:
    """The file that the page gives out, as the command reads it."""
    file = browser.downloads / f"{batch}-review.json"
    file.unlink(missing_ok=True)
    tab.press("s")
    tab.until(lambda: file.exists() and file.stat().st_size > 0)
    return read_review_file(file, batch)


def seconds_until_seen(tab: Tab, file: Path) -> float:
    """From the navigation until it has loaded and a picture is decoded."""
    tab.open(file.as_uri(), *DESKTOP)
    tab.until(lambda: bool(tab.run("document.images.length && document.images[0].naturalWidth")))
    return float(tab.run("performance.now() / 1000"))


def wide(tab: Tab) -> int:
    """Pixels that the page is wider than its window."""
    return int(tab.run("document.documentElement.scrollWidth - innerWidth"))


def test_two_hundred_sheets_of_ten_views_are_small_and_open_at_once(
    tab: Tab, tmp_path: Path
) -> None:
    file = write_page(made_up_page(*large_batch(200)), tmp_path / "page.html")
    assert file.stat().st_size < MOST_BYTES
    seen = min(seconds_until_seen(tab, file) for _ in range(3))  # others may want the processor
    tell_figures(f"{file.stat().st_size / 1e6:.1f} MB, seen in {seen:.2f} s")
    assert seen < MOST_SECONDS
    assert tab.run("document.querySelectorAll('.view').length") == 2000
    # Far below, nothing is decoded before somebody comes there.
    assert tab.run("document.images.length") < 200
    tab.run("document.querySelector('article:last-of-type').scrollIntoView()")
    last = "document.querySelectorAll('article:last-of-type img').length"
    tab.until(lambda: tab.run(last) == 9)  # one is missing


def test_views_are_reviewed_by_keys_and_the_file_says_so(
    browser: Browser, tab: Tab, page: Path
) -> None:
    tab.open(page.as_uri(), *DESKTOP)
    assert "Ann 01 front" in chosen(tab)
    press(tab, "y n j")  # 1 kept, 2 rejected, 3 passed over
    assert "Ann 04" in chosen(tab)
    press(tab, "ArrowDown y ArrowUp")  # 4 of Bob kept
    assert "Ann 05" in chosen(tab)
    press(tab, "n k u")  # 5 of Ann rejected, and cleared again
    assert "1 kept, 1 rejected, 8 unreviewed" in tab.run(
        "document.querySelector('#sheet-0 .tally').textContent"
    )
    read = saved(browser, tab)
    assert {job: dict(views) for job, views in read.reviews.items()}.keys() == {
        "autumn-002-ann",
        "autumn-003-bob",
    }
    assert read.marks("autumn-002-ann") == {
        "front": Mark(Verdict.KEEP, ""),
        "front-close-up": Mark(Verdict.REJECT, ""),
    }
    assert [*read.marks("autumn-003-bob").values()] == [Mark(Verdict.KEEP, "")]


def test_a_note_is_written_and_keys_in_it_are_letters(
    browser: Browser, tab: Tab, page: Path
) -> None:
    tab.open(page.as_uri(), *DESKTOP)
    tab.press("m")
    tab.write('six fingers, </script> "y n u"')
    tab.press("Enter", ctrl=True)
    assert not tab.run("document.getElementById('note-dialog').open")
    press(tab, "j y m")
    tab.press("Escape")
    read = saved(browser, tab).marks("autumn-002-ann")
    assert read["front"] == Mark(Verdict.REJECT, 'six fingers, </script> "y n u"')
    assert read["front-close-up"] == Mark(Verdict.KEEP, "")


def test_verdicts_outlive_the_page_until_the_bucket_has_them(
    browser: Browser, tab: Tab, page: Path, store: SafeStore
) -> None:
    tab.open(page.as_uri(), *DESKTOP)
    press(tab, "y n")
    tab.open(page.as_uri(), *DESKTOP)
    assert tab.run("document.getElementById('fresh').textContent") == "2 new verdicts"
    read = saved(browser, tab)
    change_review(store, "autumn-002-ann", "acme", read.marks("autumn-002-ann"))

    batch = a_batch("Ann", "Bob", "Cleo", "Dan", "Eve")
    write_page(made_up_page(store, batch), page)
    tab.open(page.as_uri(), *DESKTOP)
    assert tab.run("document.getElementById('fresh').textContent") == "nothing new"
    assert tab.run("document.querySelector('.view').dataset.verdict") == "keep"
    press(tab, "u")
    assert saved(browser, tab).marks("autumn-002-ann") == {"front": None}


def test_sheets_are_sorted_and_filtered(tab: Tab, page: Path) -> None:
    tab.open(page.as_uri(), *DESKTOP)
    assert characters(tab) == ["Ann", "Bob", "Cleo", "Dan", "Eve"]
    choose(tab, "order", "worst")
    worst = [
        float(tab.run(f"document.querySelectorAll('.figures')[{n}].textContent.split(' ')[2]"))
        for n in range(5)
    ]
    assert worst == sorted(worst)
    choose(tab, "order", "cost")
    assert characters(tab)[0] == "Eve"
    choose(tab, "order", "verdict")
    assert characters(tab)[0] == "Bob"
    choose(tab, "order", "missing")
    assert characters(tab)[0] == "Dan"
    choose(tab, "order", "character")
    choose(tab, "search", "an")
    assert characters(tab) == ["Ann", "Dan"]
    assert tab.run("document.getElementById('count').textContent") == "2 of 5 sheets"
    choose(tab, "search", "")
    choose(tab, "verdict", "not")
    assert characters(tab) == ["Bob"]
    choose(tab, "verdict", "all")
    toggle(tab, "missing")
    assert characters(tab) == ["Dan"]
    toggle(tab, "missing")
    choose(tab, "most", str(worst[0] + 0.005))
    assert len(characters(tab)) < 5
    choose(tab, "most", "")
    toggle(tab, "rejected")
    assert characters(tab) == []
    assert tab.run("document.getElementById('dock').hidden")


def test_a_sheet_that_was_reviewed_stays_until_the_filter_is_asked_again(
    tab: Tab, page: Path
) -> None:
    tab.open(page.as_uri(), *DESKTOP)
    toggle(tab, "unreviewed")
    press(tab, "y " * 10)
    assert "Bob 01" in chosen(tab)
    assert characters(tab)[0] == "Ann"
    choose(tab, "order", "row")
    assert characters(tab)[0] == "Bob"
    press(tab, "n")
    choose(tab, "order", "rejected")
    assert characters(tab)[0] == "Bob"


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_nothing_is_wider_than_the_window(tab: Tab, page: Path, size: tuple[int, int]) -> None:
    tab.open(page.as_uri(), *size)
    assert wide(tab) <= 0
    for key in ("y", "n"):
        box = tab.run(
            f"document.querySelector('.action[aria-keyshortcuts={key}]')"
            ".getBoundingClientRect().toJSON()"
        )
        assert 0 <= box["left"] < box["right"] <= size[0]
        assert box["height"] >= 32  # for a thumb
    tab.run("document.querySelectorAll('.view')[2].click()")
    tab.run("document.getElementById('reject').click()")
    assert tab.run("document.querySelectorAll('.view')[2].dataset.verdict") == "reject"
    keep_shot(tab, f"page-{size[0]}.png")


def test_hostile_texts_break_nothing(browser: Browser, tab: Tab, tmp_path: Path) -> None:
    store, batch = hostile_batch()
    file = write_page(
        made_up_page(store, batch), tmp_path / "page.html", lambda key: f"jobs/{key[-3:]}"
    )
    for size in (DESKTOP, PHONE):
        tab.open(file.as_uri(), *size)
        assert tab.run("window.broken") is None
        assert wide(tab) <= 0
        shown = "document.querySelector('#sheet-0 h2').textContent"
        assert tab.run(shown) == HOSTILE[0]
        assert tab.run("document.querySelectorAll('.view').length") == 5 * len(HOSTILE)
        assert tab.run("document.scripts.length") == 2 + len(HOSTILE)
        assert tab.run("document.querySelectorAll('article').length") == len(HOSTILE)
        # What somebody wrote turns nothing round that stands beside it.
        [about] = {
            tab.run(f"getComputedStyle(document.querySelectorAll('h2 bdi')[{n}]).unicodeBidi")
            for n in range(len(HOSTILE))
        }
        assert about == "isolate"
        keep_shot(tab, f"hostile-{size[0]}.png")
    press(tab, "ArrowDown ArrowDown y ArrowRight")
    assert [*saved(browser, tab).reviews] == [batch.rows[2].id]


def test_the_policy_of_the_page_lets_nothing_in_and_nothing_out(
    browser: Browser, page: Path
) -> None:
    """What a hole in the script would come to: markup that got in runs nothing and asks nobody."""
    with browser.tab() as tab:
        tab.open(page.as_uri(), *DESKTOP)
        thrown = tab.run(
            "(() => { try { document.body.innerHTML += '<b>'; } catch (e) { return e.name; } })()"
        )
        assert thrown == "TypeError"
        for script in (
            "fetch('https://example.invalid/').then(() => 'asked', () => 'refused')",
            "new Promise((d) => { const i = new Image(); i.onload = () => d('asked');"
            " i.onerror = () => d('refused'); i.src = 'https://example.invalid/a.png'; })",
            "(() => { try { document.body.setAttribute('onclick', 'window.broken = 1'); }"
            " catch (e) { return 'refused'; } })()",
        ):
            assert tab.run(script) == "refused", script
        assert tab.requests() == []
        assert len(tab.complaints()) >= 3


def test_markup_that_got_into_the_file_runs_nothing(browser: Browser, page: Path) -> None:
    hole = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    page.write_text(page.read_text().replace("<main", f"{hole}<main"))
    with browser.tab() as tab:
        tab.open(page.as_uri(), *DESKTOP)
        assert tab.run("window.broken") is None
        assert characters(tab)[0] == "Ann"
        assert tab.requests() == []


def test_the_page_is_dark_where_that_is_asked_for(tab: Tab, page: Path) -> None:
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    tab.send("Emulation.setEmulatedMedia", features=[feature])
    tab.open(page.as_uri(), *DESKTOP)
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert max(json.loads(paper.replace("rgb(", "[").replace(")", "]"))) < 60
    keep_shot(tab, "dark.png")


def hostile_batch() -> tuple[SafeStore, Batch]:
    """Whoever writes to the bucket can put these texts into a result."""
    store = SafeStore(MemoryStore())
    batch = a_batch(*(text[:200] for text in HOSTILE))
    long = "W" * 10_000
    for row, text in zip(batch.rows, HOSTILE, strict=True):
        end_sheet(
            store,
            row.id,
            usd=0.1234321,
            outputs=(
                made_view(store, row.id, 1, "front", 0.9),
                made_view(store, row.id, 2, text, 0.8),
                made_view(store, row.id, 3, long, None),
            ),
            missing=(
                MissingView(number=4, id="left", reason=text, tries=10**9),
                MissingView(number=5, id=long, reason=long, best=f"jobs/{text}"),
            ),
            partial=True,
            sheet=set_verdict(0.8, trainable=False, because=text + long, made=3),
        )
        stored = store.get(result_key(row.id))
        assert stored is not None
        body = stored.body.replace(b"0.1234321", b"1e308")
        store.replace(result_key(row.id), body, stored.etag)
        change_review(store, row.id, "acme", {"front": Mark(Verdict.REJECT, text[:500])})
    return store, batch


def tell_figures(figures: str) -> None:
    """For whoever wants to know: beside the pictures."""
    if folder := os.environ.get("RYLA_SHOTS"):
        Path(folder, "figures.txt").write_text(f"{figures}\n")


def keep_shot(tab: Tab, name: str) -> None:
    """For whoever wants to look: in the folder that RYLA_SHOTS names."""
    folder = os.environ.get("RYLA_SHOTS")
    if folder:
        tab.until(lambda: bool(tab.run("[...document.images].every((i) => i.complete)")))
        tab.shot(Path(folder) / name)


def test_a_stop_is_told_at_the_top_as_text(store: SafeStore, tab: Tab, tmp_path: Path) -> None:
    batch = a_batch("Ann", "Bob")
    for row in batch.rows:
        store.create(f"inbox/4.acme.character-sheet.{row.id}.json", b"{}")
    page = replace(made_up_page(store, batch), why_wait=(f"it is stopped: {HOSTILE[0]}",))
    path = tmp_path / "page.html"
    path.write_text(render_page(page, lambda key: None))
    for size in (DESKTOP, PHONE):
        tab.open(path.as_uri(), *size)
        told = tab.run("document.querySelector('header .held-up').innerText")
        assert told.split("\n")[0] == "2 sheets wait:"
        assert HOSTILE[0] in told
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    assert tab.run("window.broken") is None
