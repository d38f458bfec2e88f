from collections.abc import Iterator

import pytest

from tests.support.posthog_receiver import PostHogReceiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostHogReceiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PostHogReceiver() as server:
        yield server
