"""Leases of jobs in progress."""

from datetime import UTC, datetime

from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.lease import Lease, Phase, Progress
from tests.support.jobs import a_lease

SUBMITTED = datetime(2026, 1, 1, tzinfo=UTC)


def running(id: str, fraction: float, step: str | None) -> Lease:
    return a_lease(
        id=id,
        entry=f"inbox/{id}.json",
        phase=Phase.RUNNING,
        ttl_s=60,
        submitted_at=SUBMITTED,
        progress=Progress(fraction=fraction, step=step),
    )


def waiting_again(id: str, due: datetime, *, committed: bool = False) -> Lease:
    error = ErrorInfo(code="comfyui_died", message="gone", retryable=True)
    return running(id, 0, None).waiting(not_before=due, committed=committed, error=error)
