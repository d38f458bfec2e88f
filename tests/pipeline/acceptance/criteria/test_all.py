from typing import Any

from pipeline.acceptance.criteria.all import STANDIN_MADE, counted, evaluate, ok
from pipeline.acceptance.criteria.criterion import Facts, Outcome, Verdict
from pipeline.acceptance.jobs import Stage
from pipeline.contract.result import Output, Provenance, Status
from tests.support.acceptances import outcome
from tests.support.report_results import output

DRAWN = Provenance(engine="standin", app_version="1")


def drawn(id: str, **changes: Any) -> Outcome:
    return outcome(id, engine="standin", provenance=DRAWN, usd=0.9, **changes)


def verdicts(facts: Facts) -> dict[str, Verdict]:
    return {each.name: each.verdict for each in evaluate(facts)}


def test_a_run_that_saw_nothing_has_judged_nothing() -> None:
    found = evaluate(Facts())

    assert {each.verdict for each in found} == {Verdict.NOT_RUN}
    assert len({each.name for each in found}) == len(found) == 14
    assert all(each.why for each in found)
    assert ok(found)


def test_real_pictures_are_judged_by_their_figures() -> None:
    found = verdicts(Facts([outcome(f"flux-{n}", usd=0.9) for n in range(10)]))

    assert found["Flux Dev pictures"] is Verdict.PASS
    assert found["Cost a picture"] is Verdict.FAIL


def test_the_stand_in_is_evidence_of_nothing() -> None:
    found = evaluate(Facts([drawn(f"flux-{n}") for n in range(10)]))

    assert Verdict.PASS not in {each.verdict for each in found}
    made = {each.name: each for each in found}
    assert made["Flux Dev pictures"].why == STANDIN_MADE
    assert made["Cost a picture"].verdict is Verdict.NO_EVIDENCE
    assert made["Cost a picture"].why == f"{STANDIN_MADE}; the mean is above it"
    assert ok(found)


def test_a_job_that_broke_on_the_stand_in_failed() -> None:
    broken = drawn("bad", status=Status.FAILED, error="node_failed")
    found = evaluate(Facts([*(drawn(f"flux-{n}") for n in range(10)), broken]))

    assert {each.name for each in found if each.verdict is Verdict.FAIL} == {
        "Flux Dev pictures",
        "Success",
    }
    assert not ok(found)
    assert counted(found)[Verdict.FAIL] == 2


def test_faces_of_the_stand_in_are_no_persons() -> None:
    outputs: tuple[Output, ...] = (output(0.2),)
    sitting = drawn(
        "face", stage=Stage.FACE, model="sdxl-instantid", subject="sdxl-instantid", outputs=outputs
    )

    assert verdicts(Facts([sitting]))["Faces, sdxl-instantid"] is Verdict.NO_EVIDENCE
