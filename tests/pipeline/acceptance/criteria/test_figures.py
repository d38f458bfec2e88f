from pipeline.acceptance.criteria.criterion import Criterion, Facts, Outcome, Verdict
from pipeline.acceptance.criteria.figures import figure_criteria
from pipeline.contract.result import Status
from tests.support.acceptances import outcome, unfinished


def judged(*outcomes: Outcome) -> dict[str, Criterion]:
    return {each.name: each for each in figure_criteria(Facts(outcomes))}


def test_quick_and_cheap_pictures_pass() -> None:
    found = judged(outcome(seconds=20, waited=4, cold=5, usd=0.02, cold_usd=0.01))

    assert {each.verdict for each in found.values()} == {Verdict.PASS}
    assert found["Seconds a picture"].figure == "20.00 s"
    response = found["Response"]
    assert response.value == 29
    assert dict(response.parts)["of it waiting"] == "13.7 %"
    assert dict(response.parts)["of it cold start"] == "17.2 %"
    assert dict(found["Cost a picture"].parts)["of it cold start"] == "50.0 %"


def test_a_slow_kind_fails_behind_a_quick_one() -> None:
    found = judged(*[outcome(seconds=1)] * 9, outcome(model="z-image-turbo", seconds=31))

    making = found["Seconds a picture"]
    assert (making.value, making.verdict) == (4.0, Verdict.FAIL)
    assert making.why == "z-image-turbo takes 31.0 s"


def test_waiting_counts_in_the_response_alone() -> None:
    found = judged(outcome(seconds=5, waited=40))

    assert found["Seconds a picture"].verdict is Verdict.PASS
    assert found["Response"].verdict is Verdict.FAIL


def test_money_is_counted_where_somebody_bills() -> None:
    dear = judged(outcome(usd=0.7, lost_usd=0.1))["Cost a picture"]

    assert (dear.verdict, dear.figure) == (Verdict.FAIL, "$0.7000")
    assert dict(dear.parts)["with failed and lost attempts"] == "$0.8000"
    assert judged(outcome(usd=0))["Cost a picture"].verdict is Verdict.NOT_RUN


def test_success_is_more_than_nineteen_of_twenty_refusals_apart() -> None:
    bad = outcome("bad", status=Status.FAILED, error="node_failed")
    refused = outcome("no", status=Status.REJECTED, error="unknown_field")

    few = judged(*[outcome()] * 19, bad, refused)["Success"]
    many = judged(*[outcome()] * 20, bad, refused)["Success"]

    assert (few.verdict, few.figure, few.jobs) == (Verdict.FAIL, "95.0 %", ["bad"])
    assert (many.verdict, many.why) == (Verdict.PASS, "bad failed (node_failed)")
    assert dict(many.parts)["rejected"] == "1"


def test_nothing_made_is_nothing_run() -> None:
    assert {each.verdict for each in judged(unfinished("late")).values()} == {Verdict.NOT_RUN}
