from pipeline.contract.result import Status
from pipeline.report.results_reader import ResultsReader
from pipeline.report.targets import TargetVerdict
from pipeline.report.totals import Report, sum_results
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.report_results import NOON, days_ago, refused, result


def test_the_stand_in_is_counted_apart() -> None:
    totals = sum_results([result(usd=0.1), result(engine="standin", usd=0), refused()])

    assert (totals.real.jobs, totals.standin.jobs) == (2, 1)
    assert totals.real.tally.pictures == 1
    assert totals.standin.tally.standin


def test_jobs_that_reached_no_comfyui_are_counted_with_the_real_ones() -> None:
    given_up = result(status=Status.FAILED, engine=None, error="attempts_exhausted")

    assert sum_results([given_up]).real.tally.ends == {Status.FAILED: 1}


def test_all_dollars_are_over_all_pictures() -> None:
    totals = sum_results(
        [
            result(usd=0.1, lost_usd=0.1, pictures=2),
            result(status=Status.FAILED, usd=0.2, error="node_failed"),
        ]
    )

    assert totals.all_in_usd == 0.2
    assert sum_results([]).all_in_usd is None


def test_the_document_has_everything_for_programs() -> None:
    store = SafeStore(MemoryStore())
    totals = sum_results([result(usd=0.1), result(engine="standin")])
    document = Report(
        "ryla", days_ago(7), NOON, totals, ResultsReader(store, days_ago(7))
    ).document()

    assert (document["jobs"], document["succeeded"], document["pictures"]) == (1, 1, 1)
    assert document["money"]["by_tenant"]["acme"]["usd"] == 0.1
    [success] = [each for each in document["metrics"] if each["name"] == "success"]
    assert (success["figure"], success["verdict"]) == (1, TargetVerdict.MET)
    verdicts = {each["verdict"] for each in document["standin"]["metrics"]}
    assert TargetVerdict.MET not in verdicts
    assert document["modal"] is None
