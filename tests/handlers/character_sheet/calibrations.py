"""A calibration of a made-up embedder."""

import datetime

from handlers.faces.match import Calibration

EMBEDDER, SUM = "mine", "ab" * 32


def calibration(sha256: str = SUM) -> Calibration:
    return Calibration(
        date=datetime.date(2026, 1, 1),
        embedder=EMBEDDER,
        embedder_sha256=sha256,
        strangers_mean=0.0,
        same_mean=0.8,
        people=2,
        pictures=3,
    )
