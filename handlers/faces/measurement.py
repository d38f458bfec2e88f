"""Faces of a job's pictures measured against its reference, and what is kept of several tries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from config.errors import FaceModelsMissing
from handlers.faces.boxes import Box, Embedding, Face, FaceFinder, choose
from handlers.faces.match import (
    Calibration,
    Gate,
    Reason,
    Score,
    best,
    score,
    worth_another_try,
)
from handlers.faces.profiles import Side, frontal, profile_side, profiles
from handlers.faces.quality import flaw, is_crowd
from handlers.faces.references import Reference, faces_of, require_one_person
from handlers.faces.view import IDENTITY_TO, AskedView, ViewReason, ViewVerdict, judge_view

FIELD = "reference_image"


class FaceUse(StrEnum):
    """What faces are looked for; another embedder scores than the one that InstantID is fed by."""

    BOX = "box"
    """Where a face is."""
    SCORE = "score"
    """Whose face it is."""


@dataclass(frozen=True)
class FaceTry:
    """One picture that was made of a face."""

    score: Score
    box: Box | None
    """The face that was scored."""
    seed: int
    seconds: float
    """To make it."""
    view: ViewVerdict | None = None
    """Where a view was asked for."""


@dataclass(frozen=True)
class FaceMeasurement:
    """What is known of the face in a picture."""

    tries: Sequence[FaceTry]
    """In order; more than one where a gate asked for better. Empty without a face to make."""
    kept: int = 0
    """Which of them is the picture."""
    resampled: Box | None = None
    """The part of the picture that a face pass made anew. Nothing else in it changed."""

    @property
    def best(self) -> FaceTry | None:
        return self.tries[self.kept] if self.tries else None


def kept(tries: Sequence[FaceTry]) -> int:
    """The first of the most similar ones, among those whose view is the least wrong."""
    rank = min(_wrongness(one) for one in tries)
    right = [at for at, one in enumerate(tries) if _wrongness(one) == rank]
    return right[best([tries[at].score for at in right])]


def _wrongness(one: FaceTry) -> int:
    if one.view is None or one.view.ok:
        return 0
    return 2 if one.view.wrong else 1


def again(gate: Gate, one: FaceTry) -> bool:
    """Whether another try is due: for a wrong view, or for a face that should be more alike.

    A head that is to be turned so far that faces cannot be told apart is not tried for likeness.
    """
    if one.view is not None:
        asked = one.view.asked.head
        if one.view.wrong:
            return True
        if asked is None or abs(asked.yaw) > IDENTITY_TO:
            return False
    return worth_another_try(gate, one.score)


@dataclass(frozen=True)
class Scorer:
    """Measures pictures against one to five references of one person."""

    finder: FaceFinder | None
    """None where the face models are missing: then nothing gets a number."""
    references: Sequence[Embedding] = ()
    calibration: Calibration | None = None
    faces: Sequence[Face | None] = ()
    """Of the references, in their order; None where nothing could be looked for."""
    flaw: Reason | None = None
    """Why nothing compares with the references; None if one of them can be told from others."""
    profiles: Mapping[Side, Sequence[Embedding]] = field(default_factory=dict)
    """Of references from the side, where they stand apart."""

    @classmethod
    def of(
        cls,
        finder: Callable[[], FaceFinder],
        given: bytes | Sequence[Reference],
        calibration: Callable[[], Calibration | None],
        *,
        profiles_apart: bool = False,
    ) -> "Scorer":
        """With `profiles_apart` references in profile serve for faces from their side alone.

        Raises NoFace when a reference has none, and InvalidInput for references of two people or a
        picture of several.
        """
        references = [Reference(FIELD, FIELD, given)] if isinstance(given, bytes) else given
        try:
            found = finder()
        except FaceModelsMissing:
            return cls(None, faces=[None] * len(references))
        faces = faces_of(references, found)
        places = frontal(faces) if profiles_apart else [*range(len(faces))]
        compared = [faces[at] for at in places]
        measured = calibration()
        if measured is not None and measured.fits(found.embedder, found.embedder_sha256):
            require_one_person([references[at] for at in places], compared, measured)
        flaws = [flaw(face) for face in compared]
        good = [face for face, wrong in zip(compared, flaws, strict=True) if wrong is None]
        embeddings = [face.embedding for face in good or compared]
        sides = profiles(faces) if profiles_apart else {}
        return cls(found, embeddings, measured, faces, None if good else flaws[0], sides)

    def measure(self, image: bytes, near: Box | None = None) -> tuple[Score, Box | None]:
        """The score of the face nearest to a box (None: of the largest), and where it is.

        Where the face cannot be told from others, the score has a reason and no numbers.
        """
        result, face, _ = self._measured(image, near)
        return result, face.box if face else None

    def measure_try(
        self,
        image: bytes,
        seed: int,
        seconds: float,
        *,
        near: Box | None = None,
        asked: AskedView | None = None,
        size: tuple[int, int] = (0, 0),
    ) -> FaceTry:
        """A picture of this seed, of width and height in pixels, scored, and its view judged."""
        result, face, faces = self._measured(image, near)
        view = None
        if asked is not None and self.finder is None:
            view = ViewVerdict(asked, reason=ViewReason.FACE_MODELS_MISSING)
        elif asked is not None:
            view = judge_view(asked, faces, size, subject=face if near else None)
        return FaceTry(result, face.box if face else None, seed, seconds, view)

    def _measured(
        self, image: bytes, near: Box | None
    ) -> tuple[Score, Face | None, Sequence[Face]]:
        if self.finder is None:
            return Score(None, reason=Reason.FACE_MODELS_MISSING), None, ()
        faces = self.finder.find_faces(image)
        face = nearest(faces, near) if faces else None
        wrong, same_side = self._flaw(face, faces, near)
        result = score(
            face.embedding if face else None,
            self.references,
            embedder=self.finder.embedder,
            embedder_sha256=self.finder.embedder_sha256,
            calibration=self.calibration,
            faces_found=len(faces),
            flaw=wrong,
            profiles=same_side,
        )
        return result, face, faces

    def _flaw(
        self, face: Face | None, faces: Sequence[Face], near: Box | None
    ) -> tuple[Reason | None, Sequence[Embedding]]:
        """Why the face does not compare, and the profiles that it is to be compared with."""
        own = _flaw(face, faces, near)
        if face is not None and own is Reason.FACE_TURNED and self.profiles:
            side = profile_side(face)
            if side is not None and side in self.profiles:
                return None, self.profiles[side]
        return self.flaw or own, ()


def _flaw(face: Face | None, faces: Sequence[Face], near: Box | None) -> Reason | None:
    if face is None:
        return None
    return Reason.SEVERAL_FACES if near is None and is_crowd(faces) else flaw(face)


def face_of(reference: bytes, finder: FaceFinder) -> Face:
    """The largest face of a reference picture. Raises NoFace, InvalidInput."""
    return faces_of([Reference(FIELD, FIELD, reference)], finder)[0]


def nearest(faces: Sequence[Face], box: Box | None) -> Face:
    """The face whose middle is nearest to the box's, or the largest."""
    if box is None:
        return choose(faces)
    x, y = _middle(box)
    return min(
        faces, key=lambda face: abs(_middle(face.box)[0] - x) + abs(_middle(face.box)[1] - y)
    )


def _middle(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2
