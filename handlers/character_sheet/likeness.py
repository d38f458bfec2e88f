"""What the pictures of a sheet are compared by: their faces, and how they look as a whole.

A face is recorded when its picture is made. So whoever ends the sheet compares the faces, also
where there is no network to look at them.
"""

import base64
import binascii
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from handlers.character_sheet.records import RecordedLook, SheetRecords
from handlers.faces.boxes import Embedding, Face, FaceFinder, choose
from handlers.faces.head import measured_head
from handlers.faces.match import Baseline, Calibration

HASH_SIDE = 8
"""A picture is compared by so many rows of so many bits."""


@dataclass(frozen=True)
class Look:
    """How one picture looks, as far as that is known."""

    sha256: str
    bits: int | None = None
    """Whether each of 64 places is brighter than its neighbour to the left; None of a picture that
    could not be read any more."""
    measured: bool = True
    """Whether a face was looked for."""
    embedding: Embedding | None = None
    """Of the largest face; None without one."""
    yaw: float = 0.0
    """Of that face, in degrees."""
    side: int = 0
    """Of that face, the shorter one in pixels."""


@dataclass(frozen=True)
class SheetLooks:
    """Of the chosen pictures of a sheet, as one embedder saw their faces."""

    views: Mapping[int, Look]
    """By number."""
    embedder: str | None = None
    """None where no face was looked for."""
    baseline: Baseline | None = None
    """Of its calibration."""


def recorded_look(
    faces: Sequence[Face], finder: FaceFinder, calibration: Calibration | None
) -> RecordedLook:
    """Of the largest of the faces that the finder found in a picture."""
    known = RecordedLook(embedder=finder.embedder, embedder_sha256=finder.embedder_sha256)
    if calibration is not None and calibration.fits(known.embedder, known.embedder_sha256):
        means = {"strangers_mean": calibration.strangers_mean, "same_mean": calibration.same_mean}
        known = known.model_copy(update=means)
    if not faces:
        return known
    face = choose(faces)
    try:
        yaw = measured_head(face.landmarks).yaw
    except ValueError:  # a finder that knows no landmarks
        yaw = 0.0
    seen = {
        "embedding": _packed(face.embedding),
        "yaw": round(yaw, 2),
        "side": min(face.box.width, face.box.height),
    }
    return known.model_copy(update=seen)


def sheet_looks(records: SheetRecords, bits: Mapping[int, int]) -> SheetLooks:
    """By the records of the views that the sheet has. `bits` are the hashes of those pictures that
    could be read.

    What another embedder saw than most were seen by counts as not looked at: its numbers do not
    compare.
    """
    chosen = {number: records.of_view(number).chosen for number in records.made}
    known = [one.look for one in chosen.values() if one is not None and one.look is not None]
    counted = Counter(map(_embedder, known)).most_common(1)
    usual = counted[0][0] if counted else None
    views = {
        number: _look(one.picture.sha256, bits.get(number), one.look, usual)
        for number, one in chosen.items()
        if one is not None
    }
    first = next((look for look in known if _embedder(look) == usual), None)
    if first is None:
        return SheetLooks(views)
    return SheetLooks(views, first.embedder, _baseline(first))


def _embedder(look: RecordedLook) -> tuple[str, str]:
    return look.embedder, look.embedder_sha256


def _look(
    sha256: str, bits: int | None, look: RecordedLook | None, usual: tuple[str, str] | None
) -> Look:
    if look is None or _embedder(look) != usual:
        return Look(sha256, bits, measured=False)
    return Look(sha256, bits, True, _unpacked(look.embedding), look.yaw, look.side)


def _baseline(look: RecordedLook) -> Baseline | None:
    if look.strangers_mean is None or look.same_mean is None:
        return None
    return Baseline(look.strangers_mean, look.same_mean)


def _packed(embedding: Embedding) -> str:
    return base64.b64encode(struct.pack(f"<{len(embedding)}f", *embedding)).decode()


def _unpacked(packed: str | None) -> Embedding | None:
    """None also for what is none."""
    try:
        body = base64.b64decode(packed or "", validate=True)
        return struct.unpack(f"<{len(body) // 4}f", body) or None
    except (binascii.Error, struct.error):
        return None


def difference_hash(picture: Image.Image) -> int:
    """64 bits that change little with size, brightness and compression: dHash, as Neal Krawetz
    describes it."""
    grey = picture.convert("L").resize((HASH_SIDE + 1, HASH_SIDE)).tobytes()
    bits = 0
    for row in range(HASH_SIDE):
        for column in range(HASH_SIDE):
            at = row * (HASH_SIDE + 1) + column
            bits = bits << 1 | (grey[at + 1] > grey[at])
    return bits


def differing_bits(one: Look, other: Look) -> int | None:
    """None where one of them could not be read."""
    if one.bits is None or other.bits is None:
        return None
    return (one.bits ^ other.bits).bit_count()
