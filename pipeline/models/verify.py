"""Holds the models folder against the table, and the table against the hub."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config.errors import HubUnavailable, ModelError
from config.models import WeightFile
from pipeline.models.hub import Hub
from pipeline.models.models_folder import Local, State, check_file
from pipeline.models.overlay import Value

OnFile = Callable[[WeightFile, int], None]


@dataclass(frozen=True)
class VerifiedFile:
    """A file of the table, held against the folder and the hub."""

    local: Local
    learned: dict[str, Value] = field(default_factory=dict)
    """Facts that the table lacks, for the operator's models.toml."""
    disagreement: str | None = None
    """Between the table and the hub."""

    @property
    def bad(self) -> bool:
        """Whether it must not be used as it is."""
        return self.local.state is State.WRONG or self.disagreement is not None


def verify(
    weights: Iterable[WeightFile], folder: Path, hub: Hub | None, on_file: OnFile
) -> Iterator[VerifiedFile]:
    """One verdict a file, in the order given. `hub` None asks nobody; one that cannot be reached is
    asked once. Every file whose length is right is read to its end. Raises OSError."""
    for weight in weights:
        local = check_file(folder, weight, partial(on_file, weight))
        asked, disagreement = _Facts(), None
        if hub is not None and weight.repository is not None and not _complete(weight):
            try:
                asked, disagreement = _ask(hub, weight)
            except HubUnavailable:
                hub = None
            except ModelError as error:
                disagreement = error.message
        yield _verdict(local, asked, disagreement)


@dataclass(frozen=True)
class _Facts:
    bytes: int | None = None
    sha256: str | None = None
    revision: str | None = None


def _complete(weight: WeightFile) -> bool:
    return weight.verified and None not in (weight.bytes, weight.sha256, weight.revision)


def _ask(hub: Hub, weight: WeightFile) -> tuple[_Facts, str | None]:
    remote = hub.look(weight)
    for what, ours, theirs in (
        ("bytes", weight.bytes, remote.bytes),
        ("sha256", weight.sha256, remote.sha256),
    ):
        if ours is not None and theirs is not None and ours != theirs:
            return _Facts(), f"the hub says {what} {theirs}, the table {ours}"
    return _Facts(remote.bytes, remote.sha256, remote.revision), None


def _verdict(local: Local, asked: _Facts, disagreement: str | None) -> VerifiedFile:
    weight = local.weight
    if local.state is State.UNPROVEN and asked.sha256 is not None:
        local = _proven(local, asked)
    learned: dict[str, Value] = {}
    for name in ("bytes", "sha256", "revision"):
        fact = getattr(asked, name)
        if getattr(weight, name) is None and fact is not None:
            learned[name] = fact
    if local.state is State.OK and not weight.verified and disagreement is None:
        learned["verified"] = True
    return VerifiedFile(local, learned, disagreement)


def _proven(local: Local, asked: _Facts) -> Local:
    if local.sha256 == asked.sha256:
        return Local(local.weight, local.path, State.OK, local.bytes, local.sha256)
    why = f"its sha256 is {local.sha256}, the hub says {asked.sha256}"
    return Local(local.weight, local.path, State.WRONG, local.bytes, local.sha256, why)
