"""Sends a batch: its object first, created once, then each job that is not there yet.

So whoever is killed at any point leaves a batch that the same file continues: every job has an id
of its own, and an id becomes one job.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from config.errors import BatchConflict, RylaError, StoreError
from pipeline.batches.batch import Batch, read_batch, read_stored
from pipeline.batches.rows import SheetRow
from pipeline.contract.keys import batch_key
from pipeline.jobs.manifest_files import Source
from pipeline.jobs.submit import Prepared, submit
from pipeline.store.conditional import Lost, SafeStore

ROWS_NAMED = 20
"""Of the rows in which two files differ."""


@dataclass
class Sent:
    """What became of the rows that were to be sent."""

    sent: list[int] = field(default_factory=list)
    failed: dict[int, RylaError] = field(default_factory=dict)
    """By the row's number."""


def standing_batch(
    store: SafeStore, name: str, tenant: str, rows: Sequence[SheetRow]
) -> Batch | None:
    """The batch that these rows continue, None where none has that name. Raises BatchConflict where
    it has other rows."""
    standing = read_batch(store, name)
    if standing is not None:
        require_same(standing, tenant, rows)
    return standing


def begin_batch(store: SafeStore, batch: Batch, rows: Sequence[SheetRow]) -> Batch:
    """Create it. The one that stands then: with these rows it may be another sender's.

    Raises BatchConflict where that has other rows.
    """
    outcome = store.create(batch_key(batch.name), batch.body())
    if not isinstance(outcome, Lost) or outcome.current is None:
        return batch
    standing = read_stored(batch.name, outcome.current)
    require_same(standing, batch.tenant, rows)
    return standing


def require_same(standing: Batch, tenant: str, rows: Sequence[SheetRow]) -> None:
    """Raises BatchConflict, which names the rows that differ.

    A manifest without `batch` and the same one with it are the same row: batches were begun before
    that field was. What such a batch lacks is sent with it.
    """
    if standing.tenant != tenant:
        raise BatchConflict(
            f"the batch {standing.name} is of the tenant {standing.tenant}, not {tenant}",
            field="name",
            value=standing.name,
        )
    there = {row.row: (row.id, row.manifest_sha256) for row in standing.rows}
    here = {
        row.entry.row: [
            (row.id, sha256) for sha256 in (row.entry.manifest_sha256, row.sha256_without_batch)
        ]
        for row in rows
    }
    changed = sorted(row for row in there.keys() & here.keys() if there[row] not in here[row])
    said = [
        f"{what}: {_named(numbers)}"
        for what, numbers in (
            ("changed", changed),
            ("only in this file", sorted(here.keys() - there.keys())),
            ("only in the batch", sorted(there.keys() - here.keys())),
        )
        if numbers
    ]
    if said:
        raise BatchConflict(
            f"the batch {standing.name} was sent with other rows; {'; '.join(said)}",
            field="name",
            value=standing.name,
            hint="Nothing was sent. A batch is never changed: send this file under another name."
            " A picture that was replaced changes its row.",
        )


def _named(rows: Sequence[int]) -> str:
    shown = ", ".join(f"row {row}" for row in rows[:ROWS_NAMED])
    more = len(rows) - ROWS_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def send_rows(
    store: SafeStore,
    rows: Sequence[SheetRow],
    prepare: Callable[[Source], Prepared],
    threads: int,
    on_row: Callable[[], None] = lambda: None,
) -> Sent:
    """Send these rows, pictures before manifests. A row that cannot be sent holds up no other.

    Raises a StoreError: then the rest was not tried, and running it again goes on.
    """
    done = Sent()

    def one(row: SheetRow) -> RylaError | None:
        try:
            job = prepare(row.source)
            if job.sha256 != row.entry.manifest_sha256:
                raise BatchConflict(
                    f"{row.source.name}: a picture was replaced while the batch was sent",
                    hint="Put the former picture back, and send the batch again.",
                )
            submit(store, job)
        except StoreError:
            raise
        except RylaError as error:
            return error
        return None

    with ThreadPoolExecutor(threads, "send") as pool:
        asked = [(row, pool.submit(one, row)) for row in rows]
        try:
            for row, answer in asked:
                error = answer.result()
                on_row()
                if error is None:
                    done.sent.append(row.entry.row)
                else:
                    done.failed[row.entry.row] = error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done
