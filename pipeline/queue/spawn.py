"""What a worker is spawned with: enough to start without a single read."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.contract.lease import Lease

MAX_MANIFEST_BYTES = 6 * 1024
"""A larger one is read by the worker."""
MAX_PAYLOAD_BYTES = 7 * 1024
"""Above 8 KiB the platform detours an input through blob storage."""


class SpawnPayload(BaseModel):
    """One spawned execution of a job: its lease as claimed, and the manifest if it is small.

    A worker may be a version older or newer than its dispatcher: fields that it does not know are
    passed over.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: int = 1
    """Of this form."""
    id: str
    claim: str
    """The nonce that the lease must still carry as its claim."""
    etag: str
    """Of the lease as claimed."""
    model: str
    tenant: str | None = None
    gpu: Annotated[str, Field(min_length=1)] | None = None
    """The one GPU that will do, as in routes.toml; None leaves it to the route."""
    platform: str | None = None
    """Where it is spawned; None leaves it to the dispatcher."""
    lease: Lease | None = None
    """None when carried events make it too big; then the worker reads it."""
    manifest: str | None = None
    """None when it is too big; then the worker reads jobs/<id>/manifest.json."""
    claimed_at: datetime
    """By the store's clock."""

    @model_validator(mode="after")
    def _agrees_with_its_lease(self) -> Self:
        if self.lease is not None and self.lease.gpu != self.gpu:
            raise ValueError("the lease names another GPU")
        return self


def make_payload(
    lease: Lease, etag: str, model: str, manifest: bytes, claimed_at: datetime
) -> SpawnPayload:
    """The payload with as much inside as the platform carries well."""
    bare = SpawnPayload(
        id=lease.id,
        claim=lease.claim,
        etag=etag,
        model=model,
        tenant=lease.tenant,
        gpu=lease.gpu,
        platform=lease.platform,
        claimed_at=claimed_at,
    )
    full = bare.model_copy(update={"lease": lease})
    if len(manifest) <= MAX_MANIFEST_BYTES:
        full = full.model_copy(update={"manifest": manifest.decode()})
    for payload in (full, full.model_copy(update={"manifest": None})):
        if len(payload.model_dump_json()) <= MAX_PAYLOAD_BYTES:
            return payload
    return bare


Lost = Callable[[SpawnPayload], object]
"""Told, from any thread, of a job that was taken and whose worker is gone. Its lease says whether
it had begun."""


def left_to_lapse(payload: SpawnPayload) -> None:
    """Does nothing: the lease brings the job back."""
