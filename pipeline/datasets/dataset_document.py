"""`sheet.json` of a dataset: where each picture comes from and why it is in, for programs."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from handlers.character_sheet.person import BaseName
from pipeline.contract.manifest import Consent
from pipeline.contract.result import Provenance
from pipeline.datasets.licences import UsedWeight
from pipeline.datasets.selection import LeftOut
from pipeline.datasets.set_verdict import DatasetVerdict

Number = Annotated[float, AfterValidator(lambda value: round(value, 4))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class DatasetPicture(_Part):
    file: str
    """In the zip."""
    caption: str
    number: int
    """Of the view in the sheet, from 1."""
    view: str
    sha256: str
    """Of the file."""
    source_sha256: str
    """Of the sheet's picture: another one where that was WebP, which trainers read badly."""
    width: int
    height: int
    seed: int
    similarity: Number | None = None
    match: Number | None = None
    match_reason: str | None = None
    """Why there is no match, or why it counts for nothing."""
    verdict: str | None = None
    """A person's: `keep`, or null where nobody said anything."""
    overruled: str | None = None
    """The fault that a person kept it in spite of."""


class DatasetLeftOut(_Part):
    number: int
    view: str
    reason: str

    @classmethod
    def of(cls, left_out: LeftOut) -> "DatasetLeftOut":
        view = left_out.view
        return cls(number=view.nn, view=view.id, reason=left_out.reason)


class DatasetWeight(_Part):
    file: str
    sha256: str | None
    licence: str | None
    terms: str | None
    commercial_use: bool | None

    @classmethod
    def of(cls, weight: UsedWeight) -> "DatasetWeight":
        return cls(
            file=weight.file,
            sha256=weight.sha256,
            licence=weight.licence,
            terms=weight.terms,
            commercial_use=weight.commercial_use,
        )


class DatasetDocument(_Part):
    v: int = 1
    job_id: str
    tenant: str | None
    name: str
    """The character's: the caller's text, to be escaped wherever it is shown."""
    trigger: str
    class_word: str
    """Of what the trigger word is one."""
    base: BaseName
    """That the pictures were composed by."""
    train_for: BaseName
    """That the configurations are for."""
    same_in_all: Mapping[str, str]
    """What no caption tells, because it is so in all pictures. It is learnt as part of the
    person."""
    set: DatasetVerdict
    """Of these pictures."""
    commercial_use: bool | None
    """By the licences of all weights; null where one is not known."""
    weights: tuple[DatasetWeight, ...]
    consent: Consent | None
    """As the manifest states it."""
    provenance: Provenance | None
    """Of the job."""
    manifest_sha256: str
    references: tuple[str, ...] = ()
    """Keys of pictures. They are not in the zip."""
    pictures: tuple[DatasetPicture, ...]
    left_out: tuple[DatasetLeftOut, ...] = ()

    def body(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


def metadata_jsonl(pictures: Sequence[tuple[str, str]]) -> str:
    """File names and captions, as the Hugging Face loader `imagefolder` reads them."""
    return "".join(
        MetadataLine(file_name=file, text=text).model_dump_json() + "\n" for file, text in pictures
    )


class MetadataLine(_Part):
    file_name: str
    text: str
