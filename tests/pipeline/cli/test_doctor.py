import pytest

from pipeline.cli import doctor
from pipeline.store.bucket_suite import Finding, Verdict
from tests.pipeline.cli.conftest import Ryla


def test_all_is_well_with_a_good_bucket(ryla: Ryla) -> None:
    answer = ryla("doctor", "--json")

    assert answer.code == 0
    assert answer.document["healthy"]
    assert [row["check"] for row in answer.document["checks"]] == [
        "settings",
        "tables",
        "bucket",
        "conditional writes",
        "clock",
        "ComfyUI",
        "GPUs",
        "licences",
        "face models",
        "PostHog",
        "SeaweedFS",
    ]
    assert "really conditional" in ryla("doctor").out


def test_a_bucket_that_is_not_there_fails_with_a_fix(ryla: Ryla) -> None:
    answer = ryla("doctor", RYLA_BUCKET="no-such-bucket")

    assert answer.code == 1
    assert "store_denied" in answer.out
    assert "→ Check the bucket's name" in answer.out


def test_settings_that_cannot_be_read_are_the_first_to_mend(bare_ryla: Ryla) -> None:
    answer = bare_ryla("doctor", "--json", RYLA_BUKKET="x")

    [row] = answer.document["checks"]
    assert answer.code == 1
    assert (row["check"], row["health"]) == ("settings", "failed")
    assert "RYLA_BUCKET" in row["fix"]


def test_the_bucket_suite_says_of_each_promise_what_rests_on_it(
    ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [
        Finding("racing creates", Verdict.OK, "one winner in 10 of 10 rounds", "one claim a job"),
        Finding("conditional DELETE", Verdict.WARNING, "not honoured", "a body is always filed"),
    ]
    monkeypatch.setattr(doctor, "run_bucket_suite", lambda settings: iter(findings))
    answer = ryla("doctor", "--bucket-suite", "--json")

    assert answer.code == 0
    assert answer.document == {
        "healthy": True,
        "checks": [
            {
                "check": "racing creates",
                "health": "ok",
                "found": "one winner in 10 of 10 rounds",
                "carries": "one claim a job",
            },
            {
                "check": "conditional DELETE",
                "health": "warning",
                "found": "not honoured",
                "carries": "a body is always filed",
            },
        ],
    }
    assert "one claim a job" in ryla("doctor", "--bucket-suite").out


def test_a_promise_that_is_broken_fails_the_bucket_suite(
    ryla: Ryla, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = Finding("racing creates", Verdict.FAILED, "2 in the worst", "one claim a job")
    monkeypatch.setattr(doctor, "run_bucket_suite", lambda settings: iter([finding]))
    answer = ryla("doctor", "--bucket-suite", "--json")

    assert answer.code == 1
    assert not answer.document["healthy"]


def test_a_bucket_that_is_not_there_is_not_made_by_the_suite(ryla: Ryla) -> None:
    for _ in range(2):
        answer = ryla("doctor", "--bucket-suite", RYLA_BUCKET="no-such-bucket")
        assert answer.code != 0
        assert "store_denied" in answer.err
