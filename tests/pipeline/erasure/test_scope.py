from datetime import UTC, datetime

from pipeline.erasure.scope import AT_ONCE, Wish, chosen_jobs, needed_by
from pipeline.erasure.trace import JobTrace

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD = Wish(ended_before=NOON)


def job(id: str, *names: str, tenant: str = "acme", reuses: str | None = None) -> JobTrace:
    return JobTrace(id, tenant, frozenset(names), reuses=reuses)


def chosen(wish: Wish, *traces: JobTrace, old: tuple[str, ...] = ()) -> list[str]:
    return [each.id for each in chosen_jobs({trace.id: trace for trace in traces}, wish, old)]


def test_a_subject_is_of_one_tenant() -> None:
    jobs = (job("a", "ann"), job("b", "bob"), job("c", "ann", tenant="other"))
    assert chosen(Wish(tenant="acme", subject="ann"), *jobs) == ["a"]


def test_what_was_made_of_a_job_comes_behind_it() -> None:
    jobs = (job("c", reuses="b"), job("b", reuses="z"), job("z", "ann"), job("d", reuses="y"))
    assert chosen(Wish(tenant="acme", subject="ann"), *jobs) == ["z", "b", "c"]
    assert chosen(Wish(job="z"), *jobs) == ["z", "b", "c"]


def test_of_another_tenants_jobs_none_is_made_of_it() -> None:
    jobs = (job("z", "ann"), job("b", reuses="z", tenant="other"))
    assert chosen(Wish(job="z"), *jobs) == ["z"]


def test_a_job_that_says_nothing_is_forgotten_alone() -> None:
    assert chosen(Wish(job="plain"), job("a", "ann")) == ["plain"]


def test_an_old_job_waits_for_the_younger_ones_that_reuse_it() -> None:
    jobs = (job("first"), job("second", reuses="first"), job("third", reuses="second"))
    assert chosen(OLD, *jobs, old=("first", "second", "plain")) == ["plain"]
    assert chosen(OLD, *jobs, old=("first", "second", "third")) == ["first", "second", "third"]
    assert chosen(OLD, *jobs, old=("first", "third")) == ["third"]


def test_old_jobs_are_taken_by_the_ten_thousand() -> None:
    ids = tuple(f"job-{n:05}" for n in range(AT_ONCE + 1))
    assert chosen(OLD, old=ids) == [*ids[:AT_ONCE]]


def test_a_picture_is_needed_by_any_other_job_that_names_it() -> None:
    traces = {id: JobTrace(id, "acme", inputs=frozenset({"inputs/a.png"})) for id in ("one", "two")}
    assert [each.id for each in needed_by(traces, "inputs/a.png", {"one"})] == ["two"]
    assert needed_by(traces, "inputs/b.png", {"one"}) == []
