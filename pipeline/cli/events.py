"""`ryla events`: what analytics were told, or would have been."""

import os
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from config.errors import UnknownJob
from config.logs import configure_logs
from events.file_sink import read_events
from events.stored_event import StoredEvent
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings, load_cli_settings, quieter
from pipeline.contract.keys import check_id
from pipeline.jobs.status import State, look_up
from pipeline.notify.sinks import events_file

HELP = """Print the events of runs without a PostHog key, from their local file.

With --job, the events that stand in the job's result or lease, wherever they are delivered to.

Examples:

    ryla events --follow

    ryla events --job portrait-1 --json
"""
POLL_SECONDS = 0.5
COLUMNS = ("=time", "=event", "tenant", ">attempt", ">seconds", ">cost", "error")


def register(app: typer.Typer) -> None:
    @app.command("events", help=HELP)
    @output.command
    def command(
        follow: Annotated[
            bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")
        ] = False,
        job: Annotated[
            str | None, typer.Option("--job", metavar="ID", help="Those of one job.")
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if follow and job:
            raise typer.BadParameter("--follow and --job exclude each other")
        if job:
            _print(_of_job(check_id(job), state_dir), json)
            return
        settings = load_cli_settings(os.environ, state_dir)
        configure_logs(quieter(settings, os.environ, "warning"))
        path = events_file(settings)
        if follow:
            for event in _following(path):
                _print_line(event, json)
            return
        if not path.exists() and not json:
            where = "they go to PostHog" if settings.posthog_api_key else "nothing ran yet"
            output.err().print(f"No events in {path}: {where}.", soft_wrap=True, markup=False)
        _print(read_events(path), json)


def _of_job(id: str, state_dir: Path | None) -> Iterable[StoredEvent]:
    from pipeline.store.open import open_store

    view = look_up(open_store(bucket_settings(state_dir)), [id])[id]
    if view.state is State.UNKNOWN:
        raise UnknownJob(f"no job has the id {id}", field="id", value=id)
    if view.result is not None:
        return view.result.events
    return view.lease.events if view.lease else ()


def _following(path: Path) -> Iterator[StoredEvent]:
    printed, size = 0, -1
    while True:
        now = path.stat().st_size if path.exists() else 0
        if now != size:
            size = now
            for event in islice(read_events(path), printed, None):
                printed += 1
                yield event
        time.sleep(POLL_SECONDS)


def _print(events: Iterable[StoredEvent], as_json: bool) -> None:
    if as_json:
        for event in events:
            _print_line(event, as_json)
    else:
        output.out().print(output.table(None, COLUMNS, map(_row, events)))


def _print_line(event: StoredEvent, as_json: bool) -> None:
    if as_json:
        output.print_json(event.wire(), line=True)
    else:
        output.print_text("  ".join(str(part) for part in _row(event) if part not in (None, "")))


def _row(event: StoredEvent) -> tuple[object, ...]:
    told = event.properties
    duration, cost = told.get("duration"), told.get("cost_usd")
    return (
        event.timestamp[:19].replace("T", " "),
        event.event,
        told.get("tenant"),
        told.get("attempt"),
        output.span(duration) if isinstance(duration, float | int) else None,
        output.usd(cost) if isinstance(cost, float | int) else None,
        told.get("error_code"),
    )
