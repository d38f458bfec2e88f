from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.acceptance.criteria.criterion import Facts, Outcome, Verdict
from pipeline.acceptance.gpus import OnGpu
from pipeline.acceptance.jobs import Forecast, Job, Stage
from pipeline.acceptance.run import Findings
from pipeline.acceptance.summary import (
    MOST_PICTURES,
    STANDIN_MADE,
    Acceptance,
    account,
    evaluate,
    render,
    write_page,
)
from pipeline.contract.result import Provenance, Status
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.acceptances import outcome, owes
from tests.support.instant_comfyui import picture
from tests.support.report_results import output, result

DRAWN = Provenance(engine="standin", app_version="1")
GPUS = [
    OnGpu(
        gpu="L40S",
        pictures=3,
        warm_seconds=9.5,
        warm_usd=0.004,
        cold_seconds=80.0,
        cold_usd=0.03,
        cold_wait=3.0,
        estimate_seconds=8.8,
        estimate_usd=0.0062,
        why="one moved",
        jobs=["gpu-1"],
    )
]


def accepted(folder: Path, *outcomes: Outcome, stopped: str | None = None) -> Acceptance:
    store = SafeStore(MemoryStore())
    store.write("k", picture(), "image/png")
    findings = Findings(Facts(outcomes, deploys={"1": True}), GPUS, stopped)
    forecast = Forecast(len(outcomes), 0, 0.0, [], None)
    return account("first", "ryla", forecast, findings, store, folder)


def sitting(folder: Path) -> Outcome:
    Image.new("RGB", (300, 300), "red").save(folder / "ann.png")
    made = result("sat", model="sdxl-instantid", outputs=(output(0.91),))
    job = Job(
        "sat", Stage.FACE, made.model or "", {"reference_image": "@ann.png"}, made.model or ""
    )
    return Outcome(job, made.model_copy(update={"events": tuple(owes(made))}))


def drawn(id: str, **changes: Any) -> Outcome:
    return outcome(id, engine="standin", provenance=DRAWN, usd=0.9, **changes)


def verdicts(facts: Facts) -> dict[str, Verdict]:
    return {each.name: each.verdict for each in evaluate(facts)}


class Sources(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.found.append(value)
            if name == "id" and value:
                self.anchors.add(f"#{value}")


def test_a_run_that_saw_nothing_has_judged_nothing(tmp_path: Path) -> None:
    found = evaluate(Facts())

    assert accepted(tmp_path).ok
    assert {each.verdict for each in found} == {Verdict.NOT_RUN}
    assert len({each.name for each in found}) == len(found) == 17
    assert all(each.why for each in found)


def test_real_pictures_are_judged_by_their_figures() -> None:
    found = verdicts(Facts([outcome(f"flux-{n}", usd=0.9) for n in range(10)]))

    assert found["Flux Dev pictures"] is Verdict.PASS
    assert found["Cost a picture"] is Verdict.FAIL


def test_the_stand_in_is_evidence_of_nothing(tmp_path: Path) -> None:
    made = accepted(tmp_path, *(drawn(f"flux-{n}") for n in range(10)))

    assert made.counts[Verdict.PASS] == 0
    found = {each.name: each for each in made.criteria}
    assert found["Flux Dev pictures"].why == STANDIN_MADE
    assert found["Cost a picture"].verdict is Verdict.NO_EVIDENCE
    assert found["Cost a picture"].why == f"{STANDIN_MADE}; the mean is above it"
    assert made.ok


def test_a_job_that_broke_on_the_stand_in_failed(tmp_path: Path) -> None:
    broken = drawn("bad", status=Status.FAILED, error="node_failed")
    made = accepted(tmp_path, *(drawn(f"flux-{n}") for n in range(10)), broken)

    assert {each.name for each in made.criteria if each.verdict is Verdict.FAIL} == {
        "Flux Dev pictures",
        "Success",
    }
    assert not made.ok
    assert made.counts[Verdict.FAIL] == 2


def test_faces_of_the_stand_in_are_no_persons() -> None:
    kind = "sdxl-instantid"
    face = drawn("face", stage=Stage.FACE, model=kind, subject=kind, outputs=(output(0.2),))

    assert verdicts(Facts([face]))["Faces, sdxl-instantid"] is Verdict.NO_EVIDENCE


def test_it_shows_every_criterion_with_figure_and_evidence(tmp_path: Path) -> None:
    made = accepted(tmp_path, *(outcome(f"flux-{n}") for n in range(10)), sitting(tmp_path))

    shown = render(made)

    assert all(each.name in shown and each.why.partition("&")[0] in shown for each in made.criteria)
    for text in ("10 of 10", "jobs/flux-3/result.json", "similarity 0.500, match 0.910", "L40S"):
        assert text in shown
    assert "Nothing failed" in shown
    assert "evidence of quality" not in shown


def test_it_loads_nothing_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    sources = Sources(render(accepted(tmp_path, outcome(), sitting(tmp_path))))

    assert {each for each in sources.found if not each.startswith(("data:", "#"))} == set()
    assert {each for each in sources.found if each.startswith("#")} <= sources.anchors


def test_a_face_stands_beside_its_reference(tmp_path: Path) -> None:
    made = accepted(tmp_path, sitting(tmp_path))

    (shown,) = made.pictures["Faces, sdxl-instantid"]

    assert shown.reference is not None
    assert shown.reference != shown.data
    assert shown.data.startswith("data:image/jpeg;base64,")


def test_not_more_pictures_are_shown_than_a_page_carries(tmp_path: Path) -> None:
    made = accepted(tmp_path, *(outcome(f"flux-{n}") for n in range(MOST_PICTURES + 5)))

    assert len(made.pictures["Flux Dev pictures"]) == MOST_PICTURES


def test_the_stand_in_is_told_first(tmp_path: Path) -> None:
    made = accepted(tmp_path, drawn("flux-1"), stopped="nobody came")

    shown = render(made)

    assert "This is no evidence of quality" in shown
    assert "nothing is shown by it" in shown
    assert "nobody came" in shown
    assert made.document()["evidence_of_quality"] is False


def test_a_failure_is_told_in_the_first_line(tmp_path: Path) -> None:
    made = accepted(tmp_path, outcome(status=Status.FAILED, error="node_failed"))

    assert "2 of 17 criteria failed" in render(made)
    assert not made.ok
    write_page(made, tmp_path / "out" / "report.html")
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_the_document_has_what_the_page_has(tmp_path: Path) -> None:
    document = accepted(tmp_path, outcome()).document()

    assert len(document["criteria"]) == 17
    assert sum(document["verdicts"].values()) == 17
    assert document["gpus"][0]["warm_seconds"] == 9.5
    assert (document["ok"], document["run"], document["engines"]) == (True, "first", ["modal"])
