"""Seeds. Every one is derived, none is drawn, so that a retry repeats the same pictures."""

import hashlib

MAX_SEED = 2**53 - 1
"""The greatest integer that a JSON number carries exactly through any client."""


def derive_seed(text: str, ordinal: int) -> int:
    """A seed in 0..MAX_SEED: the first 53 bits of sha256("<text>:<ordinal>")."""
    digest = hashlib.sha256(f"{text}:{ordinal}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def seed_from_id(job_id: str) -> int:
    """The seed of a job that names none, in 0..MAX_SEED."""
    return derive_seed(job_id, 0)


def output_seed(seed: int, ordinal: int) -> int:
    """The seed of a job's output, `ordinal` from 0: the job's own for the first, derived from it
    for the others."""
    return seed if ordinal == 0 else derive_seed(str(seed), ordinal)
