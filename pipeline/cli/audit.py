"""`ryla audit`: whether the bucket keeps what the queue promises."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.keys import check_id
from pipeline.jobs.audit.bucket_audit import READERS, Audit
from pipeline.jobs.audit.part import Part
from pipeline.queue.expiry import Lifetimes
from pipeline.report.span import since as since_when
from pipeline.store.open import open_store

HELP = """Hold the bucket against what the queue promises; it reads, and writes nothing.

Each job has a result, or a lease, or an entry; each result its manifest and every output that it
names, with its size. No lease and no entry is left of what has ended, and no event stands under
two uuids. What lost attempts left behind is counted as waste, and is no fault. The bucket may be in
use.

It lists the whole bucket, a request for every 1,000 objects, and reads each result with its
manifest; with --content each output too. Exit code 1 if there is a fault. docs/reliability.md has
the promises.

Examples:

    ryla audit

    ryla audit --since 24h --content --json

    ryla audit --id portrait-1 --id portrait-2
"""
SHOWN = 50
"""Faults that people are shown; --json names up to 1,000."""
PROGRESS_SECONDS = 0.2


def register(app: typer.Typer) -> None:
    @app.command("audit", help=HELP)
    @output.command
    def command(
        ids: Annotated[
            list[str] | None, typer.Option("--id", metavar="ID", help="Only this job.")
        ] = None,
        prefix: Annotated[
            str, typer.Option("--prefix", metavar="TEXT", help="Only ids that begin so.")
        ] = "",
        since: Annotated[
            str | None,
            typer.Option(
                "--since",
                metavar="TIME",
                help="Of the results only those since then: 24h, 7d, 2026-11-01 …",
            ),
        ] = None,
        content: Annotated[
            bool, typer.Option("--content", help="Read each output and check its sha256.")
        ] = False,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if ids and prefix:
            raise typer.BadParameter("--id and --prefix exclude each other")
        settings = bucket_settings(state_dir)
        store = open_store(settings, READERS)
        began = None if since is None else since_when(since, store.now())
        part = Part(frozenset(map(check_id, ids or ())), prefix, began)
        audit = Audit(store, Lifetimes.of(settings), part, content=content)
        with _progress(quiet=json) as progress:
            audit.run(progress)
        if json:
            output.print_json(_document(settings.bucket, audit))
        else:
            _print(settings.bucket, audit, store.now())
        if audit.tally.faults:
            raise typer.Exit(1)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Audit], None]]:
    """A line on stderr that changes, where there is a terminal."""
    console = output.err()
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        shown = 0.0

        def show(audit: Audit) -> None:
            nonlocal shown
            if time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                faults = audit.tally.faults.total()
                status.update(f"{audit.objects:,} objects, {audit.jobs:,} jobs, {faults:,} faults")

        yield show


def _document(bucket: str, audit: Audit) -> dict[str, Any]:
    tally = audit.tally
    return {
        "clean": not tally.faults,
        "bucket": bucket,
        "since": audit.part.since,
        "objects": audit.objects,
        "jobs": audit.jobs,
        "results": dict(tally.results),
        "passed_over": audit.passed_over,
        "waiting": audit.waiting,
        "leases": dict(tally.held),
        "outputs": {"count": tally.outputs, "bytes": tally.output_bytes},
        "events": tally.events,
        "rejections_owed": audit.owed,
        "waste": {"objects": tally.waste, "bytes": tally.waste_bytes},
        "faults": dict(tally.faults),
        "named": [asdict(fault) for fault in tally.named],
    }


def _print(bucket: str, audit: Audit, now: datetime) -> None:
    tally = audit.tally
    ends = ", ".join(f"{count} {status}" for status, count in sorted(tally.results.items()))
    leases = ", ".join(f"{count} {state}" for state, count in sorted(tally.held.items()))
    lines = {
        "Results": f"{tally.results.total()}: {ends}" if ends else "0",
        "Not read": f"{audit.passed_over} results from before {audit.part.since:%Y-%m-%d %H:%M}"
        if audit.passed_over
        else "",
        "Waiting": str(audit.waiting),
        "Leases": f"{tally.held.total()}: {leases}" if leases else "0",
        "Outputs": f"{tally.outputs}, {tally.output_bytes / 1e6:.1f} MB",
        "Events": str(tally.events)
        + (f", and {audit.owed} of rejected/ entries not sent yet" if audit.owed else ""),
        "Waste": f"{tally.waste} objects that no result names, {tally.waste_bytes / 1e6:.1f} MB",
        "Faults": str(tally.faults.total()),
    }
    output.print_text(
        f"Bucket {bucket}, {now:%Y-%m-%d %H:%M} UTC: {audit.objects} objects, {audit.jobs} jobs\n"
    )
    output.print_text("\n".join(f"{name:9} {text}" for name, text in lines.items() if text))
    if not tally.faults:
        return
    rows = [(fault.kind, fault.key, fault.found) for fault in tally.named[:SHOWN]]
    output.out().print()
    output.out().print(output.table(None, ("=fault", "=key", "found"), rows))
    more = tally.faults.total() - len(rows)
    if more:
        kinds = ", ".join(f"{count} {kind}" for kind, count in tally.faults.items())
        output.print_text(f"… and {more} more: {kinds}")
