"""What a dataset says of itself to people: README.txt and LICENCES.txt. Pure."""

from collections.abc import Iterator

from pipeline.datasets.captions import one_line
from pipeline.datasets.dataset_document import DatasetDocument, DatasetWeight
from pipeline.datasets.trainer_configs import (
    AI_TOOLKIT,
    KOHYA,
    Training,
    ai_toolkit_command,
    kohya_command,
)

README, LICENCES, DOCUMENT = "README.txt", "LICENCES.txt", "sheet.json"
_ALLOWED = {True: "yes", False: "no", None: "not known"}


def readme(document: DatasetDocument, training: Training) -> str:
    return "\n".join(_readme(document, training)) + "\n"


def _readme(document: DatasetDocument, training: Training) -> Iterator[str]:
    pictures = len(document.pictures)
    yield f"{one_line(document.name)}: {pictures} pictures to train a LoRA on, with captions"
    yield ""
    yield f"Trigger word    {training.subject.trigger}"
    yield f"Captions begin  {training.subject.lead}"
    yield f"Trainable       {'yes' if document.set.trainable else 'NO'}: {document.set.because}"
    for advice in document.set.wanting:
        yield f"                {advice}"
    yield f"Commercial use  {_ALLOWED[document.commercial_use]} ({LICENCES})"
    yield f"Consent         {_consent(document)}"
    for name, text in document.same_in_all.items():
        yield f"Same in all     {name}: {text}; it will be learnt as part of the person"
    yield ""
    yield f"Train with ai-toolkit ({AI_TOOLKIT}), in this folder:"
    yield ""
    yield f"    {ai_toolkit_command()}"
    yield ""
    yield from _kohya(training)
    yield ""
    yield "AI_TOOLKIT, SD_SCRIPTS and MODELS are folders of yours. Rank, rate and steps are a"
    yield "start, not measured on this set."
    yield ""
    yield "Put nothing else into img/: ai-toolkit trains on every picture in any folder below it."
    yield f"{DOCUMENT} says where each picture comes from, and which views were left out."


def _kohya(training: Training) -> Iterator[str]:
    command = kohya_command(training)
    if command is None:
        yield f"kohya's sd-scripts has no script for {training.base}. {KOHYA} describes the"
        yield "pictures for its scripts for SDXL and FLUX.1: export with --for sdxl or flux-dev."
        return
    yield f"Train with kohya's sd-scripts ({KOHYA}), in this folder:"
    yield ""
    yield f"    {command}"


def _consent(document: DatasetDocument) -> str:
    if document.consent is None:
        return "none stated"
    return f"{document.consent.subject}: {one_line(document.consent.record)}"


def licences(document: DatasetDocument) -> str:
    return "\n".join(_licences(document)) + "\n"


def _licences(document: DatasetDocument) -> Iterator[str]:
    yield f"Commercial use of these pictures: {_ALLOWED[document.commercial_use]}"
    yield ""
    yield "That is what the licences of all weights say together that had a part in the pictures,"
    yield "as far as models.toml knows them. It is no legal advice. The base model that the LoRA is"
    yield "trained on has a licence of its own."
    if not document.weights:
        yield ""
        yield "No weights had a part: no model drew these pictures."
    for weight in document.weights:
        yield ""
        yield from _weight(weight)


def _weight(weight: DatasetWeight) -> Iterator[str]:
    yield weight.file
    yield f"  sha256          {weight.sha256 or 'not known'}"
    yield f"  licence         {weight.licence or 'not known'}"
    if weight.terms:
        yield f"  terms           {one_line(weight.terms)}"
    yield f"  commercial use  {_ALLOWED[weight.commercial_use]}"
