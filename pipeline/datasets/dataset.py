"""What goes into a dataset's zip: the picked pictures with their captions, in one folder, and
beside it what the trainers and the people need. What would be trained on by mistake stays out:
contact sheet, references, and pictures that did not pass.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from config.errors import DatasetError
from config.models import ModelTable
from handlers.character_sheet.combinations import Making
from handlers.comfyui.info import STANDIN
from pipeline.datasets.captions import captions, common_parts
from pipeline.datasets.dataset_document import (
    DatasetDocument,
    DatasetLeftOut,
    DatasetPicture,
    DatasetWeight,
    metadata_jsonl,
)
from pipeline.datasets.layout import folder, picture_name
from pipeline.datasets.licences import commercial_use, used_weights
from pipeline.datasets.readme import DOCUMENT, LICENCES, README, licences, readme
from pipeline.datasets.selection import Picked, Selection, select
from pipeline.datasets.set_verdict import judge_dataset
from pipeline.datasets.source import DatasetSource, read_picture
from pipeline.datasets.trainer_configs import (
    AI_TOOLKIT,
    KOHYA,
    Training,
    ai_toolkit_yaml,
    kohya_toml,
)
from pipeline.datasets.training_picture import TrainingPicture, training_picture
from pipeline.datasets.wish import Wish
from pipeline.datasets.zip_file import write_zip
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class Dataset:
    """What goes into the zip, but for the pictures' bytes."""

    source: DatasetSource
    selection: Selection
    training: Training
    document: DatasetDocument
    """Without its pictures."""
    captions: tuple[str, ...]
    """Of the picked pictures, in order."""

    @classmethod
    def of(cls, source: DatasetSource, models: ModelTable, wish: Wish) -> "Dataset":
        """Raises DatasetError where no picture passes."""
        plan, result = source.sheet.plan, source.sheet.result
        selection = select(plan, result, source.records, source.document, source.verdicts)
        picked = selection.picked
        if not picked:
            raise _nothing_passes(result.id, selection)
        subject = wish.subject(plan.trigger_word)
        views = [one.view for one in picked]
        training = Training(
            name=result.id,
            subject=subject,
            base=wish.train_for or plan.base,
            pictures=len(picked),
            folder=folder(len(picked), subject.trigger, subject.class_word),
        )
        return cls(
            source,
            selection,
            training,
            _document(source, selection, training, models),
            captions(views, subject, plan.trigger_word),
        )

    def write(self, store: SafeStore, file: IO[bytes]) -> DatasetDocument:
        """Write the zip, one picture in memory at a time. Returns what stands in its sheet.json."""
        pictures: list[DatasetPicture] = []
        write_zip(file, self._members(store, pictures))
        return self.document.model_copy(update={"pictures": tuple(pictures)})

    def _members(
        self, store: SafeStore, pictures: list[DatasetPicture]
    ) -> Iterator[tuple[str, bytes]]:
        inside = self.training.folder
        for one, caption in zip(self.selection.picked, self.captions, strict=True):
            picture = self._picture(store, one)
            name = f"{inside}/{picture_name(one.view.nn, one.view.id, picture.extension)}"
            pictures.append(_told(one, name, caption, picture))
            yield name, picture.body
            yield f"{name.rpartition('.')[0]}.txt", caption.encode()
        lines = [(picture.file.rpartition("/")[2], picture.caption) for picture in pictures]
        yield f"{inside}/metadata.jsonl", metadata_jsonl(lines).encode()
        document = self.document.model_copy(update={"pictures": tuple(pictures)})
        yield KOHYA, kohya_toml(self.training).encode()
        yield AI_TOOLKIT, ai_toolkit_yaml(self.training).encode()
        yield DOCUMENT, document.body()
        yield LICENCES, licences(document).encode()
        yield README, readme(document, self.training).encode()

    def _picture(self, store: SafeStore, one: Picked) -> TrainingPicture:
        """Raises OutputsMissing or OutputInvalid, which name the view."""
        name, stored = one.view.name, one.picture
        body = read_picture(store, name, stored.key, stored.bytes, stored.sha256)
        return training_picture(name, body, self.source.sheet.id)


def _nothing_passes(id: str, selection: Selection) -> DatasetError:
    why = ", ".join(f"{one.view.name} {one.reason}" for one in selection.left_out)
    return DatasetError(
        f"no picture of {id} can be trained on: {why}",
        field="id",
        value=id,
        hint="Make views again, or keep in a review what was refused for its likeness alone.",
    )


def _document(
    source: DatasetSource, selection: Selection, training: Training, models: ModelTable
) -> DatasetDocument:
    plan, result, picked = source.sheet.plan, source.sheet.result, selection.picked
    drawn_by = result.provenance
    instantid = any(one.view.making is not Making.COMPOSED for one in picked)
    weights = () if drawn_by is None else used_weights(drawn_by, models, instantid=instantid)
    placeholders = drawn_by is not None and drawn_by.engine == STANDIN
    return DatasetDocument(
        job_id=result.id,
        tenant=result.tenant,
        name=plan.name,
        trigger=training.subject.trigger,
        class_word=training.subject.class_word,
        base=plan.base,
        train_for=training.base,
        same_in_all=common_parts([one.view for one in picked]),
        set=judge_dataset(picked, plan, source.records, result.sheet, placeholders=placeholders),
        commercial_use=commercial_use(weights),
        weights=tuple(DatasetWeight.of(weight) for weight in weights),
        consent=source.consent,
        provenance=drawn_by,
        manifest_sha256=result.manifest_sha256,
        references=plan.references,
        pictures=(),
        left_out=tuple(DatasetLeftOut.of(one) for one in selection.left_out),
    )


def _told(one: Picked, file: str, caption: str, picture: TrainingPicture) -> DatasetPicture:
    return DatasetPicture(
        file=file,
        caption=caption,
        number=one.view.nn,
        view=one.view.id,
        sha256=hashlib.sha256(picture.body).hexdigest(),
        source_sha256=one.picture.sha256,
        width=picture.width,
        height=picture.height,
        seed=one.seed,
        similarity=one.similarity,
        match=one.match,
        match_reason=one.match_reason,
        verdict=one.verdict,
        overruled=one.overruled,
    )
