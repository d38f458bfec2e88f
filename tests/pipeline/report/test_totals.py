from pipeline.contract.result import Status
from pipeline.report.results_reader import Reading
from pipeline.report.targets import Verdict
from pipeline.report.totals import Report, summed
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.report_results import NOON, days_ago, refused, result


def test_the_stand_in_is_counted_apart() -> None:
    sums = summed([result(usd=0.1), result(engine="standin", usd=0), refused()])

    assert (sums.real.jobs, sums.standin.jobs) == (2, 1)
    assert sums.real.tally.pictures == 1
    assert sums.standin.tally.standin


def test_jobs_that_reached_no_comfyui_are_counted_with_the_real_ones() -> None:
    given_up = result(status=Status.FAILED, engine=None, error="attempts_exhausted")

    assert summed([given_up]).real.tally.ends == {Status.FAILED: 1}


def test_all_dollars_are_over_all_pictures() -> None:
    sums = summed(
        [
            result(usd=0.1, lost_usd=0.1, pictures=2),
            result(status=Status.FAILED, usd=0.2, error="node_failed"),
        ]
    )

    assert sums.all_in_usd == 0.2
    assert summed([]).all_in_usd is None


def test_the_document_has_everything_for_programs() -> None:
    store = SafeStore(MemoryStore())
    sums = summed([result(usd=0.1), result(engine="standin")])
    document = Report("ryla", days_ago(7), NOON, sums, Reading(store, days_ago(7))).document()

    assert (document["jobs"], document["succeeded"], document["pictures"]) == (1, 1, 1)
    assert document["money"]["by_tenant"]["acme"]["usd"] == 0.1
    [success] = [each for each in document["metrics"] if each["name"] == "success"]
    assert (success["figure"], success["verdict"]) == (1, Verdict.MET)
    verdicts = {each["verdict"] for each in document["standin"]["metrics"]}
    assert Verdict.MET not in verdicts
    assert document["modal"] is None
