"""Each thing that may go wrong with a job has its own count, its own bound and its own code."""

import pytest

from pipeline.contract.error_info import ErrorInfo
from pipeline.queue.bounds import MOST_LOST_CLAIMS, MOST_PREEMPTIONS, MOST_WAITS, exhausted
from tests.support.jobs import a_lease

BOUNDS = [
    ("failures", 3, "attempts_exhausted"),
    ("waits", MOST_WAITS, "never_started"),
    ("lost_claims", MOST_LOST_CLAIMS, "claims_lost"),
    ("preemptions", MOST_PREEMPTIONS, "preempted_too_often"),
]


@pytest.mark.parametrize(("count", "bound", "code"), BOUNDS)
def test_a_count_ends_the_job_at_its_bound(count: str, bound: int, code: str) -> None:
    below = {other: most - 1 for other, most, _ in BOUNDS}
    assert exhausted(a_lease(**below), 3) is None
    for reached in (bound, bound + 1):
        error = exhausted(a_lease(**{**below, count: reached}), 3)
        assert error is not None
        assert (error.code, "last error" in error.message) == (code, False)


def test_the_number_of_attempts_ends_nothing() -> None:
    assert exhausted(a_lease(attempt=1000), 1) is None


def test_what_was_last_seen_stands_in_the_message() -> None:
    lease = a_lease(failures=1, error=ErrorInfo(code="comfy_died", message="no process"))
    error = exhausted(lease, 1)
    assert error is not None
    assert error.message.endswith("the last error was comfy_died: no process")
