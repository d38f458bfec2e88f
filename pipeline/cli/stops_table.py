"""What is stopped, as commands show it."""

from collections.abc import Iterable
from datetime import UTC

from pipeline.cli import output
from pipeline.queue.stops import StandingStop


def stop_document(stop: StandingStop) -> dict[str, object]:
    note = stop.note
    return {
        "of": stop.scope.of,
        "name": stop.scope.name or None,
        "reason": note.reason,
        "by": note.by,
        "at": note.at,
        "since": stop.since,
    }


def print_stops(standing: Iterable[StandingStop]) -> None:
    rows = [
        (
            stop.scope,
            f"{stop.since.astimezone(UTC):%Y-%m-%d %H:%M}",
            stop.note.by,
            stop.note.reason,
        )
        for stop in standing
    ]
    if rows:
        columns = ("stopped", "=since, UTC", "by", "=reason")
        output.out().print(output.table(f"Stopped: {len(rows)}", columns, rows))
    else:
        output.out().print("Nothing is stopped")
