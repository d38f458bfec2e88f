"""A demo's character sheets, read from its folder as a trainer would read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handlers.character_sheet.records import SheetRecords, parse_record
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_files import DOCUMENT
from pipeline.contract.keys import cells_folder
from pipeline.contract.result import Result, ResultFile, Status
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.manifests import Example


@dataclass(frozen=True)
class DemoSheet:
    """A sheet that ended with its views."""

    out: Path
    example: Example
    result: Result

    @property
    def id(self) -> str:
        return self.example.id

    @property
    def has_references(self) -> bool:
        return bool(self.example.input.get("reference_images"))

    @property
    def records(self) -> SheetRecords:
        """Of every step that was kept."""
        folder = self.out / cells_folder(self.id)
        read = (parse_record(file.stem, file.read_bytes()) for file in folder.glob("*.json"))
        return SheetRecords.of(record for record in read if record is not None)

    @property
    def document(self) -> SheetDocument | None:
        """None where it is not there, or is none."""
        file = self.file(DOCUMENT)
        return None if file is None else SheetDocument.parse((self.out / file.key).read_bytes())

    def file(self, name: str) -> ResultFile | None:
        """One that the result names, and that is there."""
        named = (file for file in self.result.files if file.name == name)
        return next((file for file in named if (self.out / file.key).exists()), None)


def read_sheets(run: DemoRun) -> Iterator[DemoSheet]:
    """In the order of their manifests."""
    for example in run.examples:
        result = run.results.get(example.id)
        if example.sheet is not None and result and result.status is Status.SUCCEEDED:
            yield DemoSheet(run.out, example, result)
