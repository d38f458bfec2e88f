import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from handlers.media.thumbnails import MAX_BYTES
from pipeline.batches.page.html import render_page
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batch_pages import fill_batch, made_up_page
from tests.support.batches import a_batch

NAME = "</script><script>alert('\u2028&')<!--"


def page(link: str | None = None) -> str:
    store, batch = SafeStore(MemoryStore()), a_batch(NAME, "Bob")
    fill_batch(store, batch)
    return render_page(made_up_page(store, batch), lambda key: link)


def block(html: str, id: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{id}">(.*?)</script>', html)
    assert found is not None
    return json.loads(found[1])


def test_what_stands_in_the_page_is_what_was_read() -> None:
    html = page(link="jobs/x.png")
    batch = block(html, "batch")
    assert batch["name"] == "autumn"
    assert [sheet["character"] for sheet in batch["sheets"]] == [NAME, "Bob"]
    assert batch["totals"]["views_made"] == 20
    first = block(html, "pictures-0")[0]
    assert base64.b64decode(first["webp"])[8:12] == b"WEBP"
    assert first["link"] == "jobs/x.png"


def test_a_text_can_neither_end_its_block_nor_begin_another() -> None:
    html = page()
    assert html.count("<script") == html.count("</script>") == 4
    assert "alert" not in re.sub(r'<script type="application/json".*?</script>', "", html)
    assert html.count("<!--") == 0


def test_the_policy_allows_the_pages_own_style_and_script_and_no_request() -> None:
    html = page()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    said = policy[1].replace("&#39;", "'")
    for tag in ("style", "script"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in said
    assert said.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in said
    assert not re.search(r"https?:", html.replace("http-equiv", ""))


def test_the_largest_thumbnails_of_two_thousand_views_leave_room_below_twenty_megabytes() -> None:
    views = len(json.dumps(block(page(), "batch"))) / 20 * 2000
    assert 2000 * MAX_BYTES * 4 / 3 + views < 19_000_000


def test_why_sheets_wait_is_told_only_while_some_do() -> None:
    store, batch = SafeStore(MemoryStore()), a_batch("Ann")
    waiting = replace(made_up_page(store, batch), why_wait=("</script>",))
    told = block(render_page(waiting, lambda key: None), "batch")
    assert (told["waiting"], told["why_wait"]) == (0, [])
    store.create(f"inbox/4.acme.character-sheet.{batch.rows[0].id}.json", b"{}")
    waiting = replace(made_up_page(store, batch), why_wait=("</script>",))
    told = block(render_page(waiting, lambda key: None), "batch")
    assert (told["waiting"], told["why_wait"]) == (1, ["</script>"])
