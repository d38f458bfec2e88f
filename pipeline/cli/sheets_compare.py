"""`ryla sheets compare`: the same views with a trained LoRA, side by side."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from config.errors import InvalidInput
from config.settings import Settings
from handlers.character_sheet.contact_sheet import reason_words, thumbnail
from handlers.character_sheet.sheet_document import SetVerdict
from handlers.character_sheet.side_by_side import PictureRow, side_by_side
from handlers.loras.refs import ById
from handlers.media.images import pixels
from pipeline.cli import output
from pipeline.cli.follow import follow
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.out_file import write_out
from pipeline.cli.wait_notes import WaitNotes
from pipeline.contract.document import canonical
from pipeline.contract.manifest import parse_manifest
from pipeline.dispatcher.preflight import check_work
from pipeline.jobs.follow import Follower
from pipeline.jobs.quote import quote
from pipeline.jobs.status import State
from pipeline.jobs.submit import Receipt
from pipeline.jobs.successors import submit_successor
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.sheets.cells import read_records
from pipeline.sheets.compared_lora import comparison_manifest, find_trained
from pipeline.sheets.comparison import ComparedSheet, Comparison, Side, compare_sheets
from pipeline.sheets.ended_sheet import EndedSheet, require_ended_sheet
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Make the views of an ended sheet again with a trained LoRA, and set both side by side.

The new job is `<id>-c1`, for another LoRA `<id>-c2` and so on; asking again is the same job. It has
the same views and seeds, on the base of the LoRA, which alone says who is seen; what cannot be the
same is said. Once it has ended, the command shows of each view how much its face is like those of
the sheet's other views, before and after, whether it is the view that was asked for, and both
verdicts on the set. Nothing is measured anew: the numbers are those of the records.

Examples:

    ryla sheets compare ann --lora ann --wait 900 --out ann-compared.png

    ryla sheets compare ann --lora ann --version 000002000 --json
"""


def register(group: typer.Typer) -> None:
    group.command("compare", help=HELP)(_compare)


@output.command
def _compare(
    id: Annotated[str, typer.Argument(metavar="ID", help="The sheet's job.")],
    lora: Annotated[str, typer.Option("--lora", metavar="LORA_ID", help="The trained LoRA.")],
    version: Annotated[
        str | None, typer.Option("--version", help="One training's file, as lora_version.")
    ] = None,
    max_cost_usd: Annotated[
        float | None,
        typer.Option(
            "--max-cost-usd", metavar="USD", min=0, help="Of the new job; the sheet's unless given."
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", metavar="SECONDS", min=0, help="Follow the job to its end."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write a picture of it, PNG.", dir_okay=False),
    ] = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    settings = bucket_settings(state_dir)
    store, runtime = open_store(settings), load_runtime(settings, settings.engine)
    sheet = require_ended_sheet(store, id)
    ref = ById(lora, version)
    trained = find_trained(store, ref, sheet.tenant, runtime.models, settings.lora_prefix)
    document = comparison_manifest(sheet, trained, max_cost_usd)
    check_work(id, parse_manifest(canonical(document)), runtime)
    receipt = submit_successor(store, id, "c", document)
    notes = None if json else WaitNotes.of(store, settings)
    if not _is_over(store, receipt, wait, notes):
        _tell_sent(receipt, _quoted(document, settings, runtime, store), as_json=json)
        return
    comparison = compare_sheets(_read(store, sheet), _read(store, _ended(store, receipt.id)))
    if out is not None:
        write_out(out, _picture(store, comparison))
    if json:
        output.print_json(_document(comparison))
    else:
        _print(comparison, out)


def _is_over(
    store: SafeStore, receipt: Receipt, wait: float | None, notes: WaitNotes | None
) -> bool:
    if receipt.state is State.FINISHED:
        return True
    follower = Follower(store, [receipt.id])
    until = time.monotonic() + (wait or 0)
    follow(follower, until=until, quiet=notes is None, notes=notes)
    return follower.done


def _quoted(
    document: dict[str, Any], settings: Settings, runtime: RuntimeConfig, store: SafeStore
) -> dict[str, Any] | None:
    manifest = parse_manifest(canonical(document))
    told = quote(manifest, settings, runtime.routes, runtime.gpus, store.now())
    return told.document() if told else None


def _tell_sent(receipt: Receipt, estimate: dict[str, Any] | None, *, as_json: bool) -> None:
    said = {"id": receipt.id, "sent": receipt.sent, "state": receipt.state, "estimate": estimate}
    if as_json:
        output.print_json(said)
        return
    usd = output.usd(estimate["usd"] if estimate else None)
    output.print_text(f"{receipt.id} {receipt.state}{f', estimated at {usd}' if usd else ''}")
    output.print_text("Run the same again once it has ended, or give --wait.")


def _ended(store: SafeStore, id: str) -> EndedSheet:
    """Raises InvalidInput with the error of a job that ended without a picture."""
    try:
        return require_ended_sheet(store, id)
    except InvalidInput as error:
        error.hint = f"`ryla results {id}` says why."
        raise


def _read(store: SafeStore, sheet: EndedSheet) -> ComparedSheet:
    return ComparedSheet(sheet, read_records(store, sheet.id))


def _document(found: Comparison) -> dict[str, Any]:
    similarity, match = found.means("similarity"), found.means("match")
    return {
        "before": found.before,
        "after": found.after,
        "lora": found.lora,
        "lora_sha256": found.lora_sha256,
        "differences": list(found.differences),
        "mean": {
            "similarity": {"before": similarity[0], "after": similarity[1]},
            "match": {"before": match[0], "after": match[1]},
        },
        "views": [
            {
                "number": each.view.nn,
                "id": each.view.id,
                "name": each.view.name,
                "before": asdict(each.before),
                "after": asdict(each.after),
            }
            for each in found.views
        ],
        "set": {"before": found.sets[0], "after": found.sets[1]},
    }


def _print(found: Comparison, out: Path | None) -> None:
    columns = ("=view", ">before", ">after", ">more alike by", "before is", "after is")
    output.out().print(output.table(None, columns, _rows(found)))
    for name, verdict in zip(("before", "after"), found.sets, strict=True):
        output.print_text(f"{name}: {_set_words(verdict)}")
    for difference in found.differences:
        output.print_text(f"not the same: {difference}")
    if out is not None:
        output.print_text(f"{out} shows it.")


def _rows(found: Comparison) -> Iterator[tuple[object, ...]]:
    for each in found.views:
        yield (
            each.view.name,
            _score(each.before),
            _score(each.after),
            _gain(each.before.similarity, each.after.similarity),
            _state(each.before),
            _state(each.after),
        )
    before, after = found.means("similarity")
    matches = found.means("match")
    right = found.right()
    yield (
        "mean",
        _numbers(before, matches[0]),
        _numbers(after, matches[1]),
        _gain(before, after),
        f"{right[0]} of {len(found.views)} made",
        f"{right[1]} of {len(found.views)} made",
    )


def _score(side: Side) -> str:
    if side.similarity is None:
        return reason_words(side.reason or "not measured")
    return _numbers(side.similarity, side.match)


def _numbers(similarity: float | None, match: float | None) -> str:
    if similarity is None:
        return ""
    return f"{similarity:.2f}" if match is None else f"{similarity:.2f}, match {match:.2f}"


def _gain(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{after - before:+.2f}"


def _state(side: Side) -> str:
    if side.missing is not None:
        return f"missing: {reason_words(side.missing)}"
    return "as asked" if side.ok else reason_words(side.ok_reason or "not judged")


def _set_words(verdict: SetVerdict | None) -> str:
    if verdict is None:
        return "nobody looked at its pictures"
    return f"{'trainable' if verdict.trainable else 'not trainable'}: {verdict.because}"


def _picture(store: SafeStore, found: Comparison) -> bytes:
    rows = [
        PictureRow(
            each.view.name,
            (_thumbnail(store, each.before), _thumbnail(store, each.after)),
            (_under(each.before), _under(each.after)),
        )
        for each in found.views
    ]
    before, after = found.means("similarity")
    numbers = (
        f"mean similarity {before:.2f} before, {after:.2f} after"
        if None not in (before, after)
        else ""
    )
    apart = (f"not the same: {each}" for each in found.differences)
    words = [text for text in (numbers, *apart) if text]
    title = f"With {PurePosixPath(found.lora).name}" if found.lora else "Side by side"
    return side_by_side(title, (found.before, found.after), words, rows)


def _under(side: Side) -> str:
    return _state(side) if side.missing is not None else _score(side)


def _thumbnail(store: SafeStore, side: Side) -> Any:
    stored = None if side.key is None else store.get(side.key)
    with suppress(InvalidInput):
        return None if stored is None else thumbnail(pixels(stored.body))
    return None
