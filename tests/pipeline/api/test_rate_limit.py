import pytest

from pipeline.api.rate_limit import RateLimit
from pipeline.api.request_errors import TooManyRequests


def test_each_tenant_has_so_many_requests_in_a_minute() -> None:
    rate = RateLimit(3)
    for _ in range(3):
        rate.count("acme")

    with pytest.raises(TooManyRequests) as refused:
        rate.count("acme")
    assert 1 <= (refused.value.retry_after_s or 0) <= 60
    rate.count("zenith")
