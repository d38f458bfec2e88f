"""Leases of jobs in progress."""

from datetime import UTC, datetime

from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.lease import Lease, Phase, Progress

SUBMITTED = datetime(2026, 1, 1, tzinfo=UTC)


def running(id: str, fraction: float, step: str | None) -> Lease:
    return Lease(
        id=id,
        entry=f"inbox/{id}.json",
        model="flux-dev",
        tenant="acme",
        attempt=1,
        claim="c",
        nonce="n",
        owner="worker",
        phase=Phase.RUNNING,
        ttl_s=60,
        submitted_at=SUBMITTED,
        progress=Progress(fraction=fraction, step=step),
    )


def waiting_again(id: str, due: datetime, *, committed: bool = False) -> Lease:
    error = ErrorInfo(code="comfyui_died", message="gone", retryable=True)
    return running(id, 0, None).waiting(not_before=due, committed=committed, error=error)
