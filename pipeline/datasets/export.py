"""Makes a dataset of a sheet that has ended. No GPU is needed, and nothing of the sheet changes.

The same sheet, review and wish give the same bytes, whoever makes them and however often: nothing
of the time or the machine is in them.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from config.models import ModelTable
from pipeline.contract.keys import export_key
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.dataset_document import DatasetDocument
from pipeline.datasets.source import read_source
from pipeline.datasets.wish import PLAIN, Wish
from pipeline.datasets.zip_destination import sha256_of, store_zip, whole_file
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class Export:
    """A dataset that was made."""

    document: DatasetDocument
    place: str
    """Path of the file, or key in the bucket."""
    sha256: str
    """Of the zip."""
    bytes: int
    fresh: bool
    """Whether it was written now; an object of the bucket is written once."""


def export_sheet(
    store: SafeStore,
    id: str,
    models: ModelTable,
    out: Path | None = None,
    wish: Wish = PLAIN,
) -> Export:
    """Make the dataset of a sheet, as the file `out`, or under exports/<id>/ where that is None.

    Raises DatasetError where no picture passes, UnknownJob, InvalidInput for a job that has not
    ended or is no sheet and for what is no review, OutputsMissing and OutputInvalid for pictures
    that are gone or changed, StoreUnavailable, OSError.
    """
    dataset = Dataset.of(read_source(store, id), models, wish)
    if out is not None:
        with whole_file(out) as file:
            document = dataset.write(store, file)
            sha256, length = sha256_of(file)
        return Export(document, str(out), sha256, length, fresh=True)
    with TemporaryFile() as file:
        document = dataset.write(store, file)
        sha256, length = sha256_of(file)
        fresh = store_zip(store, id, file, sha256, length)
    return Export(document, export_key(id, sha256), sha256, length, fresh)
