from collections.abc import Iterator
from typing import Any

import pytest

from config.settings import Settings
from pipeline.notify.posthog_check import Finding, check_posthog
from tests.support.posthog_receiver import Answer, PostHogReceiver

OVER_QUOTA = Answer(body=b'{"status": 1, "quota_limited": ["events"]}')
PAGE = Answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html; charset=utf-8"})
NO_EVENT = Answer(400, b"request holds no event")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostHogReceiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PostHogReceiver() as server:
        yield server


def check(receiver: PostHogReceiver, **settings: Any) -> Finding:
    fields = {
        "posthog_api_key": "phc_test",
        "posthog_host": receiver.url,
        "posthog_timeout_seconds": 0.3,
    }
    return check_posthog(Settings.model_validate({**fields, **settings}))


@pytest.mark.parametrize("answer", [Answer(), NO_EVENT], ids=["200", "400"])
def test_a_posthog_that_knows_the_key_gets_no_event(
    receiver: PostHogReceiver, answer: Answer
) -> None:
    receiver.answer = answer
    receiver.flags = Answer(body=b'{"flags": {}}')
    finding = check(receiver)
    assert (finding.found, finding.fix) == (f"{receiver.url} knows the key", None)
    assert [each.path for each in receiver.received] == ["/batch/", "/flags/?v=2"]
    assert not any(each.batch for each in receiver.received)
    assert all(b'"phc_test"' in each.body for each in receiver.received)


@pytest.mark.parametrize(
    ("answer", "found", "fix"),
    [
        (Answer(401, b'{"detail": "wrong key"}'), "refuses the key (401): {", "phc_"),
        (Answer(403), "refuses the key (403)", "US and EU know only their own keys"),
        (Answer(501), "answers 501 to POST /batch/: it is no PostHog", "RYLA_POSTHOG_HOST"),
        (Answer(404), "answers 404 to POST /batch/: it is no PostHog", "RYLA_POSTHOG_HOST"),
        (Answer(302), "answers 302 to POST /batch/: it is no PostHog", "RYLA_POSTHOG_HOST"),
        (PAGE, "answers 200 with text/html that is not PostHog's: a proxy", "RYLA_POSTHOG_HOST"),
        (OVER_QUOTA, "drops events: the project's quota is used up", "RYLA_EVENT_TRIES"),
        (Answer(body=b"{}"), "answers 200 with a body that is not PostHog's", "RYLA_POSTHOG_HOST"),
        (
            Answer(400, b"<html>"),
            "answers 400 with a body that is not PostHog's",
            "RYLA_POSTHOG_HOST",
        ),
        (Answer(503), "answers 503 now", "until then events wait"),
        (Answer(429), "answers 429 now", "until then events wait"),
        (Answer(hangs=True), "ReadTimeout", "the network"),
        (Answer(hangs_up=True), "RemoteProtocolError", "the network"),
    ],
    ids=lambda value: f"{value.status}-{value.hangs}" if isinstance(value, Answer) else "",
)
def test_what_keeps_events_away_is_told_apart_and_has_a_fix(
    receiver: PostHogReceiver, answer: Answer, found: str, fix: str
) -> None:
    receiver.answer = answer
    finding = check(receiver)
    assert found in finding.found
    assert receiver.url in finding.found
    assert fix in str(finding.fix)
    assert len(receiver.received) == 1


def test_nobody_there_is_told_with_the_host(receiver: PostHogReceiver) -> None:
    receiver.stop()
    finding = check(receiver)
    assert "ConnectError" in finding.found
    assert "RYLA_POSTHOG_HOST" in str(finding.fix)


def test_a_key_that_only_its_flags_refuse_is_a_wrong_key(receiver: PostHogReceiver) -> None:
    """As in the cloud, where a batch without events is answered before its key is looked at."""
    receiver.answer = NO_EVENT
    receiver.flags = Answer(401, b'{"code": "invalid_api_key"}')
    finding = check(receiver)
    assert "refuses the key (401)" in finding.found
    assert "phc_" in str(finding.fix)


def test_a_posthog_without_flags_says_nothing_of_the_key(receiver: PostHogReceiver) -> None:
    receiver.flags = Answer(404, b"not here")
    finding = check(receiver)
    assert "whether it knows the key is open" in finding.found
    assert finding.fix is None


def test_a_personal_key_is_told_without_a_request(receiver: PostHogReceiver) -> None:
    finding = check(receiver, posthog_api_key="phx_secret")
    assert "personal" in finding.found
    assert "secret" not in finding.found
    assert "phc_" in str(finding.fix)
    assert not receiver.received
