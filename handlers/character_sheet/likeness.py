"""What the pictures of a sheet are compared by: their faces, and how they look as a whole."""

import hashlib
from dataclasses import dataclass

from handlers.faces.boxes import Embedding, FaceFinder, choose
from handlers.faces.head import measured_head
from handlers.media.images import pixels

HASH_SIDE = 8
"""A picture is compared by so many rows of so many bits."""


@dataclass(frozen=True)
class Look:
    """What is seen in one picture."""

    sha256: str
    bits: int
    """Whether each of 64 places is brighter than its neighbour to the left."""
    embedding: Embedding | None = None
    """Of the largest face; None without one, or without face models."""
    yaw: float = 0.0
    """Of that face, in degrees."""
    side: int = 0
    """Of that face, the shorter one in pixels."""


def look(picture: bytes, finder: FaceFinder | None) -> Look:
    """Raises InvalidInput for what is no picture. Without a finder no face is looked for."""
    digest, bits = hashlib.sha256(picture).hexdigest(), difference_hash(picture)
    faces = finder.find_faces(picture) if finder else []
    if not faces:
        return Look(digest, bits)
    face = choose(faces)
    try:
        yaw = measured_head(face.landmarks).yaw
    except ValueError:  # a finder that knows no landmarks
        yaw = 0.0
    return Look(digest, bits, face.embedding, yaw, min(face.box.width, face.box.height))


def difference_hash(picture: bytes) -> int:
    """64 bits that change little with size, brightness and compression: dHash, as Neal Krawetz
    describes it. Raises InvalidInput."""
    small = pixels(picture).convert("L").resize((HASH_SIDE + 1, HASH_SIDE))
    grey = small.tobytes()
    bits = 0
    for row in range(HASH_SIDE):
        for column in range(HASH_SIDE):
            at = row * (HASH_SIDE + 1) + column
            bits = bits << 1 | (grey[at + 1] > grey[at])
    return bits


def differing_bits(one: Look, other: Look) -> int:
    return (one.bits ^ other.bits).bit_count()
