"""Events of an imaginary job, for tests."""

from datetime import UTC, datetime

from events.catalogue import Common, FaceConsistencyMeasured, GenerationCompleted, RequestProperties
from events.stored_event import StoredEvent, stored

AT = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)

COMMON = Common(
    kind="flux-instantid",
    environment="test",
    engine="standin",
    app_version="1.0",
    attempt=1,
    tenant="acme",
)


def completed(job_id: str) -> StoredEvent:
    event = GenerationCompleted(
        request=RequestProperties(
            workflow_type="flux-instantid", prompt_length=12, width=1024, height=1024
        ),
        generation_time_ms=3300,
        outputs=1,
    )
    return stored(event, COMMON, subject=job_id, at=AT)


def scores(job_id: str, count: int) -> list[StoredEvent]:
    return [
        stored(
            FaceConsistencyMeasured(consistency_score=0.9, similarity=0.7, output=output),
            COMMON,
            subject=job_id,
            at=AT,
        )
        for output in range(count)
    ]
