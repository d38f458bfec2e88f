"""How alike a view's face is, by the result and by what was told of the whole sheet. Pure."""

from dataclasses import dataclass

from handlers.character_sheet.sheet_document import DocumentView
from pipeline.contract.result import Output


@dataclass(frozen=True)
class Scores:
    match: float | None = None
    """0 to 1."""
    similarity: float | None = None
    """Cosine, -1 to 1."""
    reason: str | None = None
    """Why there is no match. Beside one `profile` says that it counts for nothing."""


def scores_of(output: Output | None, told: DocumentView | None) -> Scores:
    """As `sheet.json` says it, where there is one: it compares views with each other too."""
    if told is not None:
        return Scores(told.match, told.similarity, told.match_reason)
    face = output.face if output else None
    if face is None:
        return Scores(reason=output.face_reason if output else None)
    return Scores(face.match, face.similarity, face.reason)
