"""Fills the volume of weights."""

from collections.abc import Callable, Iterable
from typing import Any

import structlog

from config.errors import InvalidInput
from config.tables import WeightFile
from pipeline.deployed.asked import asked
from pipeline.deployed.switching import names_in
from pipeline.models.activation import candidate
from pipeline.models.files import models_folder
from pipeline.models.hub import Hub, HuggingFace
from pipeline.models.pull import Pulled, prepare, pull, require_space
from pipeline.models.versions import is_aside

TOLD_EVERY = 2**30
"""Bytes of a file between two lines of the log."""


def download(
    sets: str, accept_licences: bool, commit: Callable[[], None], hub: Hub | None = None
) -> list[dict[str, Any]]:
    """Pull what is missing of these sets (names with spaces or commas between; all that are in
    use if there are none), file after file, each committed as soon as it is whole.

    What is returned can be written into a table of one's own. Raises a ModelError, or InvalidInput
    with the licences that were not accepted.
    """
    with asked() as settings:
        folder = models_folder(settings)
        models = candidate(settings.models_file, folder)
        hub = hub or HuggingFace()
        wanted = prepare(models.files(names_in(sets, models)).values(), folder, hub)
        require_space(wanted, folder)
        if wanted and not accept_licences:
            raise _not_accepted(each.weight for each in wanted)
        done = []
        for pulled in pull(wanted, hub, _teller()):
            commit()
            facts = _facts(pulled)
            structlog.get_logger(__name__).info("pulled", weights=pulled.weight.name, **facts)
            done.append({"name": pulled.weight.name, **facts, "seconds": round(pulled.seconds, 1)})
        return done


def _facts(pulled: Pulled) -> dict[str, Any]:
    weight = pulled.weight
    facts = {"bytes": pulled.bytes, "sha256": pulled.sha256, "revision": pulled.revision}
    # Once its checksum is in the table, a file that lies aside would be looked for elsewhere.
    aside = weight.sha256 is None and is_aside(weight)
    return {**facts, "file": weight.file} if aside else facts


def _not_accepted(weights: Iterable[WeightFile]) -> InvalidInput:
    licences = sorted({f"{weight.licence} ({weight.name})" for weight in weights})
    return InvalidInput(
        f"these licences are to be accepted: {', '.join(licences)}",
        field="accept_licences",
        hint="Read them where the files come from, then give --accept-licences.",
    )


def _teller() -> Callable[[WeightFile, int], None]:
    """Progress for a log that nobody may be watching."""
    told: dict[str, int] = {}

    def tell(weight: WeightFile, done: int) -> None:
        if done - told.get(weight.name, -TOLD_EVERY) >= TOLD_EVERY:
            told[weight.name] = done
            log = structlog.get_logger(__name__)
            log.info("pulling", weights=weight.name, bytes=done, of=weight.bytes)

    return tell
