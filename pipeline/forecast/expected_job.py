"""A job as a forecast sees it: where it stands in the queue, and what it asks for. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from handlers.character_sheet.input import CharacterSheetInput
from handlers.kinds.registry import KINDS
from pipeline.contract.keys import parse_inbox_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.manifest import Manifest
from pipeline.dispatcher.survey import contents
from pipeline.queue.admission import Waiting
from pipeline.queue.platforms import Placement
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry

ANYWHERE = Placement(0)


@dataclass(frozen=True)
class ExpectedJob:
    waiting: Waiting
    """As the dispatcher would see it."""
    manifest: Manifest
    lora: str | None
    """Where its LoRA lies, or a folder where it may; None for a job without."""
    comes_s: float = 0.0
    """When it is sent, from the beginning of the forecast."""

    @property
    def kind(self) -> str:
        return self.manifest.model

    @property
    def id(self) -> str:
        return self.waiting.name.id

    @property
    def pictures(self) -> int:
        """That it delivers, if all goes well."""
        request = self.manifest.input
        if isinstance(request, CharacterSheetInput):
            return len(request.new_views)
        number: int | None = getattr(request, "num_images", None)
        return number or KINDS[self.kind].work(request).images

    def lease(self, placement: Placement = ANYWHERE) -> Lease:
        """As it stands while the job takes its slot, and waits for a worker there."""
        entry = self.waiting.entry
        return Lease(
            id=self.id,
            entry=entry.key,
            model=self.kind,
            tenant=self.manifest.tenant,
            attempt=1,
            claim="forecast",
            nonce="forecast",
            owner="forecast",
            phase=Phase.SPAWNED,
            ttl_s=placement.ttl_s,
            platform=placement.platform,
            overflow=placement.overflow,
            lora=self.lora,
            submitted_at=entry.last_modified,
        )


def expected_job(
    entry: Entry,
    body: bytes,
    manifest: Manifest,
    runtime: RuntimeConfig,
    comes_s: float = 0.0,
) -> ExpectedJob:
    """The job of an inbox entry; `body` is its manifest's. A keyed entry is ordered by what its key
    says: nobody reads its body for that. Raises InvalidId for a name that is no job's."""
    name = parse_inbox_key(entry.key)
    said = contents(entry.key, entry.last_modified, body, runtime)
    bare = name.model is None
    lora = said.loras[0] if said.loras else None
    return ExpectedJob(Waiting(name, entry, said if bare else None), manifest, lora, comes_s)


def sent_job(
    key: str, body: bytes, manifest: Manifest, runtime: RuntimeConfig, now: datetime, comes_s: float
) -> ExpectedJob:
    """A job that is to be sent under this inbox key, so many seconds after `now`."""
    entry = Entry(key, "", len(body), now + timedelta(seconds=comes_s))
    return expected_job(entry, body, manifest, runtime, comes_s)
