"""The batch of the demo: a file of characters beside the manifests, sent as `ryla sheets submit`
sends one, and then once more. `ryla sheets page` would write its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.batches.batch import Batch
from pipeline.batches.batch_reader import missing_jobs
from pipeline.batches.character_file import FileRow, read_character_file
from pipeline.batches.columns import document_of
from pipeline.batches.estimate import BatchEstimate
from pipeline.batches.lines import RowLine
from pipeline.batches.page.html import render_page
from pipeline.batches.page.links import links_beside
from pipeline.batches.page.reader import read_page
from pipeline.batches.page.thumbnails import shrinker
from pipeline.batches.problems import Problems
from pipeline.batches.rows import RowChecker, SheetRow, job_id
from pipeline.batches.submission import begin_batch, send_rows, standing_batch
from pipeline.contract.document import canonical
from pipeline.local.demo.manifests import Example, read_example
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore

FILE = "characters.csv"
PAGE = "batch.html"
"""In the demo's folder, beside the `jobs/` that its pictures link to."""
NAME = "demo"
TENANT = "atelier"


@dataclass(frozen=True)
class DemoBatch:
    """The file, and what is to become of its rows."""

    path: Path
    rows: tuple[FileRow, ...]
    examples: Sequence[Example]
    """One for each row."""


@dataclass(frozen=True)
class BatchRun:
    """What became of it."""

    batch: Batch
    sent_again: int
    """Jobs that the second submission of the file sent."""
    lines: Sequence[RowLine]
    """As `ryla sheets status` shows them."""
    unseen: Mapping[str, str]
    """Key → why the page has no small copy of that picture."""


def load_batch(folder: Path) -> DemoBatch | None:
    """None where the folder has no such file. Raises InvalidRow for the first row that is wrong."""
    path = folder / FILE
    if not path.exists():
        return None
    problems = Problems()
    rows = read_character_file(path, problems)
    examples = [example for row in rows for example in _examples(row, problems)]
    for problem in problems.told:
        raise problem
    return DemoBatch(path, rows, examples)


def _examples(row: FileRow, problems: Problems) -> list[Example]:
    document = document_of(row, problems)
    if document is None:
        return []
    id = job_id(NAME, row.row, document["input"]["name"])
    return [read_example(id, canonical({**document, "tenant": TENANT, "batch": NAME}))]


def send_batch(store: SafeStore, runtime: RuntimeConfig, demo: DemoBatch) -> tuple[Batch, int]:
    """The batch, and how many jobs sending it again sent. Raises what is wrong with it."""
    checker = RowChecker(store, runtime, NAME, TENANT, demo.path)
    batch, _ = _send(checker, demo.rows)
    return batch, _send(checker, demo.rows)[1]


def _send(checker: RowChecker, found: Sequence[FileRow]) -> tuple[Batch, int]:
    rows = _checked(checker, found)
    store, estimate = checker.store, BatchEstimate.of(rows)
    standing = standing_batch(store, checker.batch, checker.tenant, rows)
    batch = standing or begin_batch(
        store,
        Batch(
            name=checker.batch,
            tenant=checker.tenant,
            created_at=store.now(),
            rows=tuple(row.entry for row in rows),
            estimate_usd=estimate.usd,
            most_usd=estimate.most_usd,
        ),
        rows,
    )
    missing = missing_jobs(store, batch)
    sent = send_rows(
        store, [row for row in rows if row.id in missing], checker.prepare, checker.threads
    )
    for error in sent.failed.values():
        raise error
    return batch, len(sent.sent)


def _checked(checker: RowChecker, found: Sequence[FileRow]) -> tuple[SheetRow, ...]:
    problems = Problems()
    rows = checker.check(found, problems)
    for problem in problems.told:
        raise problem
    return rows


def look_at_batch(store: SafeStore, batch: Batch, sent_again: int, out: Path) -> BatchRun:
    """Writes its page too. Links lead to what was copied out before."""
    with shrinker() as shrink:
        page = read_page(store, batch, shrink)
    (out / PAGE).write_text(render_page(page, links_beside(out)), "utf-8")
    small = page.thumbnails.items()
    return BatchRun(
        batch,
        sent_again,
        [card.row.line for card in page.cards],
        {picture.key: made.problem for picture, made in small if made.problem},
    )
