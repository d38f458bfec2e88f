"""What a command's words name: jobs by their ids, or a batch for all of its sheets."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.batches.batch import is_batch_name, read_batch
from pipeline.batches.batch_reader import row_lines
from pipeline.batches.lines import RowLine
from pipeline.contract.keys import check_id
from pipeline.contract.result import Status
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class NamedSheets:
    ids: tuple[str, ...]
    """Of jobs that were named, and of those that stand for a batch's rows and have ended."""
    lines: tuple[RowLine, ...] = ()
    """Of the batches that were named, without rows whose jobs are forgotten."""

    @property
    def unfinished(self) -> tuple[RowLine, ...]:
        """Rows of which nothing has ended yet."""
        return tuple(line for line in self.lines if not line.standing.ended)


def sheets_named(store: SafeStore, words: Sequence[str]) -> NamedSheets:
    """A batch's name goes before a job's id. Raises InvalidId for a word that can be neither,
    BatchConflict for an object that is no batch."""
    ids, lines = list[str](), list[RowLine]()
    for word in words:
        batch = read_batch(store, word) if is_batch_name(word) else None
        if batch is None:
            ids.append(check_id(word))
            continue
        rows = row_lines(store, batch)
        of_batch = [line for line in rows if line.standing.status is not Status.FORGOTTEN]
        lines += of_batch
        ids += [line.standing.id for line in of_batch if line.standing.ended]
    return NamedSheets(tuple(dict.fromkeys(ids)), tuple(lines))
