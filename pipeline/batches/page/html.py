"""Writes the page: a template, a style and a script, and what was read as JSON beside them.

The script is the only thing that puts texts into the page, as texts. The policy in the page allows
this style and this script by their digests, and no request at all.
"""

import base64
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from pipeline.batches.lines import totals
from pipeline.batches.page.cards import SheetCard, finite
from pipeline.batches.page.links import Link
from pipeline.batches.page.reader import BatchPage
from pipeline.pages.html import json_block, policy, render


def render_page(page: BatchPage, link: Link) -> str:
    style = f"{_text('pipeline.pages', 'page.css')}{_text(__package__, 'batch.css')}"
    script = _text(__package__, "batch.js")
    return render(
        __package__,
        "batch.html.j2",
        name=page.batch.name,
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        batch=json_block(_document(page)),
        pictures=[json_block([*_pictures(page, card, link)]) for card in page.cards],
    )


def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text("utf-8")


def _document(page: BatchPage) -> dict[str, Any]:
    batch, sums = page.batch, totals([card.row.line for card in page.cards])
    return {
        "name": batch.name,
        "tenant": batch.tenant,
        "created_at": batch.created_at.isoformat(timespec="seconds"),
        "made_at": page.made_at.isoformat(timespec="seconds"),
        "estimate_usd": finite(batch.estimate_usd),
        "budget_usd": finite(batch.budget_usd),
        "totals": {
            **asdict(sums),
            "usd": finite(sums.usd),
            "remaining_usd": finite(sums.remaining_usd),
        },
        "waiting": page.waiting,
        "why_wait": page.why_wait if page.waiting else [],
        "sheets": [card.document() for card in page.cards],
    }


def _pictures(page: BatchPage, card: SheetCard, link: Link) -> Iterator[dict[str, str] | None]:
    """Of each view of a sheet, in the order of the views."""
    for view in card.views:
        if view.picture is None:
            yield None
            continue
        thumbnail = page.thumbnails[view.picture]
        found = {
            "webp": base64.b64encode(thumbnail.body).decode() if thumbnail.body else None,
            "problem": thumbnail.problem,
            "link": link(view.picture.key),
        }
        yield {name: value for name, value in found.items() if value is not None}
