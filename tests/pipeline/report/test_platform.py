from pipeline.report.platform import is_standin, platform_of
from tests.support.report_results import event_of, result


def test_a_job_ran_where_its_last_event_says() -> None:
    """It may have gone from one platform to another."""
    events = (event_of("modal"), event_of("runpod"), event_of(""))
    assert platform_of(result(events=events)) == "runpod"
    assert platform_of(result()) == ""


def test_what_the_stand_in_drew_ran_nowhere() -> None:
    drawn = result(engine="standin", events=(event_of("modal"),))
    assert is_standin(drawn)
    assert platform_of(drawn) == "standin"
    assert not is_standin(result(engine=None))
