from datetime import UTC, datetime, timedelta

import pytest

from config.errors import InvalidInput
from pipeline.report.span import since

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T06:00", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("2026-11-01T06:00+02:00", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_time_can_be_said_in_several_ways(text: str, begin: datetime) -> None:
    assert since(text, NOW) == begin


@pytest.mark.parametrize("text", ["", "0h", "7", "d", "-1d", "yesterday", "999999d", "2026-13-01"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        since(text, NOW)
    assert "7d" in (caught.value.hint or "")


def test_the_future_has_no_results() -> None:
    with pytest.raises(InvalidInput, match="not past yet"):
        since("2026-12-01", NOW)
