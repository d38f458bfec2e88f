from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.acceptance.criteria.criterion import Facts, Outcome, Verdict
from pipeline.acceptance.criteria.deployment import (
    cold_starts,
    containers,
    deployed,
    events,
    health,
    http,
)
from pipeline.acceptance.http import Answer, Health
from pipeline.acceptance.jobs import Stage
from pipeline.contract.result import Status
from tests.support.acceptances import lora_loaded, metrics, model_loaded, outcome, owes, unfinished
from tests.support.report_results import result

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def answered(**changes: Any) -> Facts:
    given = {"url": "https://x", "idle": True, "at": NOON, "seconds": 3.2, "status": 200}
    return Facts(health=Health.model_validate(given | changes))


def born(id: str, *more: Any, model: str = "flux-dev", engine: str = "modal") -> Outcome:
    """The first job of a container."""
    owed = owes(result(id, model=model), engine)
    return outcome(id, model=model, metrics=metrics(cold=8), events=[*owed[:-1], *more, owed[-1]])


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ({}, Verdict.PASS, ""),
        ({"seconds": 10.0}, Verdict.FAIL, "slower"),
        ({"status": 503, "told": "no app"}, Verdict.FAIL, "503: no app"),
        ({"status": None, "told": "ConnectError"}, Verdict.FAIL, "nothing: ConnectError"),
        ({"idle": False}, Verdict.NOT_RUN, "nobody says that the app was idle"),
    ],
)
def test_health_is_cold_only_where_the_plan_says_so(
    changes: dict[str, Any], verdict: Verdict, why: str
) -> None:
    judged = health(answered(**changes))

    assert judged.verdict is verdict
    assert why in judged.why
    assert judged.figure.endswith(" s")


def test_without_a_url_nothing_is_asked_over_http() -> None:
    assert health(Facts()).verdict is Verdict.NOT_RUN
    assert http(Facts()).verdict is Verdict.NOT_RUN


def test_each_kind_answers_over_http() -> None:
    made = outcome("key", Stage.HTTP)
    good = Answer("key", "flux-dev", "id", "succeeded", 4.2)

    judged = http(Facts([made], answers=[good]))

    assert (judged.verdict, judged.figure) == (Verdict.PASS, "1 of 1")
    assert dict(judged.parts) == {"flux-dev": "4.2 s"}


def test_an_api_of_another_bucket_is_found_out() -> None:
    good = Answer("key", "flux-dev", "id", "succeeded")
    lost = unfinished("key", Stage.HTTP, "not in the bucket")

    judged = http(Facts([lost], answers=[good]))

    assert judged.verdict is Verdict.FAIL
    assert judged.why == "flux-dev: its result is not in the bucket of the settings"


def test_a_fault_of_http_counts_on_the_stand_in_too_and_that_of_a_job_does_not() -> None:
    refused = Answer("a", "flux-dev", "id", "rejected", fault="rejected: face_models_missing")
    broken = Answer("b", "flux-dev", fault="500 internal_error")
    made = [outcome("a", Stage.HTTP), outcome("b", Stage.HTTP)]

    assert http(Facts(made, answers=[refused])).measured
    assert not http(Facts(made, answers=[refused, broken])).measured


def test_a_second_container_that_reads_the_volume_passes() -> None:
    two = born("one", model_loaded()), born("two", model_loaded("cache")), outcome("warm")

    judged = containers(Facts(two))

    assert [each.id for each in cold_starts(Facts(two).results)] == ["one", "two"]
    assert (judged.verdict, judged.jobs) == (Verdict.PASS, ["one", "two"])
    assert dict(judged.parts)["Flux, one"].startswith("8.0 s: container 1.0, imports 2.0")


@pytest.mark.parametrize(
    ("outcomes", "verdict", "why"),
    [
        ([born("one", model_loaded())], Verdict.NOT_RUN, "raise at_once"),
        (
            [born("one", model_loaded()), born("z", model_loaded(), model="z-image-turbo")],
            Verdict.NOT_RUN,
            "no route started two",
        ),
        ([born("one", model_loaded()), born("two")], Verdict.NOT_RUN, "no event tells"),
        (
            [born("one", model_loaded()), born("two", model_loaded("local"))],
            Verdict.FAIL,
            "flux-dev from local in two",
        ),
        (
            [
                born("one", model_loaded(), lora_loaded()),
                born("two", model_loaded(), lora_loaded()),
            ],
            Verdict.FAIL,
            "pulled more than once: 000000000000",
        ),
        (
            [
                born("one", model_loaded(), lora_loaded()),
                born("two", model_loaded(), lora_loaded(cached=True)),
            ],
            Verdict.PASS,
            "",
        ),
        ([born("one", engine="local")], Verdict.NOT_RUN, "local ran the jobs"),
    ],
)
def test_what_two_containers_tell(outcomes: list[Outcome], verdict: Verdict, why: str) -> None:
    judged = containers(Facts(outcomes))

    assert judged.verdict is verdict
    assert why in judged.why


def test_every_job_owes_its_events() -> None:
    full = [
        outcome("a"),
        outcome("b", Stage.LORA, "flux-lora"),
        outcome("c", Stage.FACE, "flux-instantid"),
        outcome("d", status=Status.FAILED, error="node_failed"),
        outcome("e", status=Status.REJECTED, error="unknown_field"),
    ]
    judged = events(Facts(full))

    assert (judged.verdict, judged.figure) == (Verdict.PASS, "5 of 5 jobs")
    assert events(Facts([*full, unfinished("late")])).verdict is Verdict.NOT_RUN
    assert events(Facts()).verdict is Verdict.NOT_RUN


def test_a_missing_event_is_named() -> None:
    short = outcome("a", events=owes(result("a"))[:1])
    silent = outcome("b", Stage.LORA, "flux-lora", events=owes(result("b"))[:1])

    judged = events(Facts([short, silent]))

    assert (judged.verdict, judged.jobs) == (Verdict.FAIL, ["a", "b"])
    assert "a has no modal_flux_dev_generation_completed" in judged.why
    assert "modal_lora_loaded" in judged.why


def test_a_deployment_is_told_when_its_event_has_arrived() -> None:
    ran = [outcome()]

    assert deployed(Facts(ran, deploys={"1": True})).verdict is Verdict.PASS
    assert deployed(Facts(ran, deploys={"1": False})).verdict is Verdict.FAIL
    assert deployed(Facts(ran)).why == "not told, or not known to have arrived: 1"
    assert deployed(Facts([outcome(engine="local")])).verdict is Verdict.NOT_RUN
