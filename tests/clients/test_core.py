"""What the clients decide, with no network and no time passing."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ryla_client import (
    BadRequest,
    Conflict,
    ConnectionFailed,
    JobFailed,
    JobRejected,
    NotAllowed,
    NotFound,
    Retries,
    RylaError,
    ServerFailed,
    StillRunning,
    TooMany,
    UnexpectedAnswer,
)
from ryla_client._calls import Broken, Call, Flow, Pause, Reply, Send, Write
from ryla_client._core import Core, target
from ryla_client._jobs import Job
from ryla_client.requests import FluxDev

T = TypeVar("T")
A_CAT: FluxDev = {"model": "flux-dev", "prompt": "a cat", "seed": 0}


class World:
    """Gives the answers in turn, each after the seconds that it was to wait at most."""

    def __init__(self, *answers: Reply | Broken, seconds: float = 0.0) -> None:
        self.now = 0.0
        self.calls: list[Call] = []
        self.pauses: list[float] = []
        self.files: dict[Path, bytes] = {}
        self._answers = iter(answers)
        self._seconds = seconds

    def core(self, **retries: float) -> Core:
        return Core(Retries(**retries), lambda: self.now, lambda: 1.0, lambda: "fresh")

    def run(self, flow: Flow[T]) -> T:
        answer: Reply | Broken | None = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = None
            match step:
                case Send(call):
                    self.calls.append(call)
                    self.now += self._seconds
                    answer = next(self._answers)
                case Pause(seconds):
                    self.pauses.append(seconds)
                    self.now += seconds
                case Write(path, body):
                    self.files[path] = body

    def keys(self) -> set[str | None]:
        return {call.key for call in self.calls}


def reply(status: int, document: Any = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, json.dumps(document).encode())


def problem(status: int, **members: Any) -> Reply:
    return reply(status, {"detail": "it is so", "code": "some_code", **members})


def job(state: str = "waiting", **more: Any) -> dict[str, Any]:
    return {"id": "j1", "state": state, **more}


def finished(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    result = {"id": "j1", "status": status, "outputs": [], "error": None, "warnings": [], **more}
    return job("finished", status=status, result=result)


def outputs(*sizes: int) -> list[dict[str, Any]]:
    return [{"key": f"jobs/j1/out/a1/image-{n}.png", "bytes": b} for n, b in enumerate(sizes)]


def test_a_submission_sends_the_fields_given_and_nothing_else() -> None:
    simulation = World(reply(202, job()))

    submitted = simulation.run(simulation.core().submit(A_CAT, None))

    (call,) = simulation.calls
    assert (call.method, call.path) == ("POST", "/flux-dev")
    assert json.loads(call.body or b"") == {"prompt": "a cat", "seed": 0}
    assert (call.headers["Idempotency-Key"], call.headers["Prefer"]) == ("fresh", "wait=0")
    assert (submitted.id, submitted.idempotency_key) == ("j1", "fresh")


AGAIN: list[Reply | Broken] = [
    Broken("reset"),
    *(reply(status) for status in (408, 425, 429, 500, 502, 503, 504)),
]


def test_every_repetition_of_a_submission_has_the_key_and_body_of_the_first() -> None:
    simulation = World(*AGAIN, reply(202, job()))

    simulation.run(simulation.core(elapsed=1000).submit(A_CAT, None))

    assert len(simulation.calls) == len(AGAIN) + 1
    assert simulation.keys() == {"fresh"}
    assert len({call.body for call in simulation.calls}) == 1


def test_the_caller_s_own_key_is_used() -> None:
    simulation = World(Broken("reset"), reply(202, job()))

    assert simulation.run(simulation.core().submit(A_CAT, "mine")).idempotency_key == "mine"
    assert simulation.keys() == {"mine"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(400), BadRequest),
        (problem(401), NotAllowed),
        (problem(403), NotAllowed),
        (problem(404), NotFound),
        (problem(409), Conflict),
        (problem(410), NotFound),
        (problem(413), BadRequest),
        (problem(422), BadRequest),
        (problem(501), BadRequest),
        (problem(507), ServerFailed),
        (reply(404, "<html>"), UnexpectedAnswer),
        (reply(200, ["x"]), UnexpectedAnswer),
        (Reply(200, {"content-type": "image/png"}, b"\x89PNG"), UnexpectedAnswer),
    ],
)
def test_what_is_refused_for_good_is_not_repeated(answer: Reply, error: type[RylaError]) -> None:
    simulation = World(answer)

    with pytest.raises(error) as raised:
        simulation.run(simulation.core().submit(A_CAT, None))

    assert type(raised.value) is error
    assert len(simulation.calls) == 1
    assert raised.value.idempotency_key == "fresh"


def test_an_error_says_all_that_the_server_said() -> None:
    members = {"field": "promt", "hint": "Did you mean 'prompt'?", "job": "j1"}
    answer = reply(422, {"detail": "unknown field", "code": "unknown_field", **members})
    simulation = World(Reply(422, {"x-request-id": "r1"}, answer.body))

    with pytest.raises(BadRequest, match="unknown field") as raised:
        simulation.run(simulation.core().submit(A_CAT, None))

    error = raised.value
    assert (error.code, error.field, error.hint) == ("unknown_field", "promt", members["hint"])
    assert (error.status, error.request_id, error.job_id) == (422, "r1", "j1")


@pytest.mark.parametrize(
    ("answer", "error"),
    [(Broken("reset"), ConnectionFailed), (problem(429), TooMany), (problem(503), ServerFailed)],
)
def test_it_gives_up_when_the_time_is_over(answer: Reply | Broken, error: type[RylaError]) -> None:
    simulation = World(*[answer] * 50)

    with pytest.raises(error) as raised:
        simulation.run(simulation.core(elapsed=30).submit(A_CAT, None))

    assert simulation.pauses == [0.5, 1, 2, 4, 8]  # 15.5 and 15 more are beyond 30
    assert raised.value.idempotency_key == "fresh"


def test_retry_after_is_obeyed_or_told() -> None:
    simulation = World(reply(429, retry_after="12"), reply(503, retry_after="3"), reply(202, job()))
    simulation.run(simulation.core().submit(A_CAT, None))
    assert simulation.pauses == [12, 3]

    simulation = World(reply(429, "a proxy's", retry_after="3600"))
    with pytest.raises(TooMany) as raised:
        simulation.run(simulation.core().submit(A_CAT, None))
    assert raised.value.retry_after == 3600


def test_waiting_asks_again_until_the_job_is_finished() -> None:
    simulation = World(reply(202, job("running")), reply(200, finished()), seconds=50)

    done = simulation.run(simulation.core().wait(Job("j1", "waiting", idempotency_key="k"), 900))

    assert done.succeeded
    assert done.idempotency_key == "k"
    assert [call.path for call in simulation.calls] == ["/jobs/j1"] * 2
    assert [call.headers["Prefer"] for call in simulation.calls] == ["wait=50"] * 2
    assert sum(simulation.pauses) == 0


def test_what_was_told_at_the_submission_stays_with_the_job() -> None:
    told: dict[str, Any] = {
        "estimate": {"gpu": "L40S", "usd": 0.07, "most_usd": 0.21},
        "warnings": ["it may end"],
    }
    world = World(reply(202, job(**told)), reply(200, finished()))
    done = world.run(world.core().generate(A_CAT, None, 60))
    assert done.finished
    assert (done.estimate, done.warnings) == (told["estimate"], ("it may end",))


def test_a_server_that_does_not_wait_is_asked_once_a_second() -> None:
    simulation = World(*[reply(202, job("running"))] * 5, reply(200, finished()), seconds=0.25)

    simulation.run(simulation.core().wait(Job("j1", "waiting"), 900))

    assert simulation.pauses == [0.75] * 5


def test_a_wait_has_an_end_and_the_job_has_none() -> None:
    simulation = World(*[reply(202, job("running"))] * 9, seconds=50)

    with pytest.raises(StillRunning) as raised:
        simulation.run(simulation.core().wait(Job("j1", "waiting", idempotency_key="k"), 120))

    assert [call.headers["Prefer"] for call in simulation.calls] == [
        "wait=50",
        "wait=50",
        "wait=20",
    ]
    assert (raised.value.job_id, raised.value.idempotency_key) == ("j1", "k")


def test_failures_while_waiting_count_from_the_last_good_answer() -> None:
    bad = [Broken("reset")] * 3
    simulation = World(*bad, reply(202, job()), *bad, reply(200, finished()), seconds=1)

    assert simulation.run(simulation.core(elapsed=8).wait(Job("j1", "waiting"), 900)).finished


def test_a_failure_after_the_submission_says_which_job_it_was() -> None:
    simulation = World(reply(202, job()), *[Broken("reset")] * 9)

    with pytest.raises(ConnectionFailed) as raised:
        simulation.run(simulation.core(elapsed=5).generate(A_CAT, None, 900))

    assert (raised.value.job_id, raised.value.idempotency_key) == ("j1", "fresh")


def test_no_time_to_wait_still_looks_once() -> None:
    simulation = World(reply(200, finished()))

    assert simulation.run(simulation.core().wait(Job("j1", "waiting"), 0)).finished


def test_generate_is_one_request_for_a_quick_job() -> None:
    simulation = World(reply(200, finished()), seconds=5)

    assert simulation.run(simulation.core().generate(A_CAT, None, 900)).succeeded
    assert len(simulation.calls) == 1
    assert simulation.calls[0].headers["Prefer"] == "wait=50"


@pytest.mark.parametrize(("status", "error"), [("failed", JobFailed), ("rejected", JobRejected)])
def test_generate_raises_what_the_job_ended_with(status: str, error: type[JobFailed]) -> None:
    said = {
        "code": "no_face",
        "message": "no face",
        "field": "input.reference_image",
        "hint": "Another.",
    }
    simulation = World(reply(202, job()), reply(200, finished(status, error=said)))

    with pytest.raises(error, match="no face") as raised:
        simulation.run(simulation.core().generate(A_CAT, "k", 900))

    assert raised.value.job.status == status
    assert (raised.value.code, raised.value.field, raised.value.hint, raised.value.job_id) == (
        "no_face",
        "reference_image",
        "Another.",
        "j1",
    )
    assert raised.value.idempotency_key == "k"


def test_a_job_that_was_finished_first_is_not_cancelled() -> None:
    simulation = World(problem(409), reply(200, finished()))

    assert simulation.run(simulation.core().cancel(Job("j1", "running"))).succeeded
    assert [call.method for call in simulation.calls] == ["DELETE", "GET"]


def test_outputs_are_saved_side_by_side() -> None:
    simulation = World(
        reply(200, finished(outputs=outputs(3, 2))), Reply(200, {}, b"one"), Reply(200, {}, b"tw")
    )

    paths = simulation.run(simulation.core().save(Job("j1", "unknown"), "to/fox.png"))

    assert paths == [Path("to/fox.png"), Path("to/fox-2.png")]
    assert simulation.files == {paths[0]: b"one", paths[1]: b"tw"}
    assert [call.path for call in simulation.calls[1:]] == [
        "/jobs/j1/outputs/0",
        "/jobs/j1/outputs/1",
    ]


def test_a_sheet_s_files_come_along_into_a_folder_and_beside_no_picture(tmp_path: Path) -> None:
    sheet = finished(
        outputs=[{"key": "jobs/j1/out/a1/01-front.t1.png", "bytes": 3}],
        files=[{"name": "sheet.json"}, {"name": "../contact sheet.png"}],
    )
    bodies = [Reply(200, {}, body) for body in (b"one", b"{}", b"png")]

    folder = World(reply(200, sheet), *bodies)
    paths = folder.run(folder.core().save(Job("j1", "unknown"), tmp_path))

    names = ["j1-01-front.t1.png", "j1-sheet.json", "j1-contact sheet.png"]
    assert paths == [tmp_path / name for name in names]
    assert [call.path for call in folder.calls[2:]] == [
        "/jobs/j1/files/sheet.json",
        "/jobs/j1/files/..%2Fcontact%20sheet.png",
    ]
    one = World(reply(200, sheet), *bodies)
    assert one.run(one.core().save(Job("j1", "unknown"), "a.png")) == [Path("a.png")]


def test_half_an_output_is_not_saved() -> None:
    simulation = World(reply(200, finished(outputs=outputs(3))), Reply(200, {}, b"on"))

    with pytest.raises(UnexpectedAnswer, match="2 bytes, not 3"):
        simulation.run(simulation.core().save(Job("j1", "unknown"), "fox.png"))

    assert not simulation.files


def test_a_job_without_pictures_saves_none() -> None:
    simulation = World(reply(200, finished("failed")))
    with pytest.raises(JobFailed):
        simulation.run(simulation.core().save(Job("j1", "unknown"), "fox.png"))

    simulation = World(reply(202, job("running")))
    with pytest.raises(StillRunning):
        simulation.run(simulation.core().save(Job("j1", "unknown"), "fox.png"))


def test_in_a_folder_outputs_keep_their_names(tmp_path: Path) -> None:
    key = "jobs/j1/out/a1/image-0.png"

    assert target(tmp_path, 0, key, "j1") == tmp_path / "j1-image-0.png"
    assert target("new/", 0, key, "j1") == Path("new/j1-image-0.png")


def test_jobs_are_listed_page_by_page() -> None:
    pages: Iterable[Reply] = (
        reply(200, {"jobs": [{"id": "a", "state": "waiting"}], "count": 2, "next": "a"}),
        reply(200, {"jobs": [{"id": "b", "state": "running"}], "count": 2, "next": None}),
    )
    simulation = World(*pages)

    assert [each.id for each in simulation.run(simulation.core().jobs())] == ["a", "b"]
    assert [call.path for call in simulation.calls] == ["/jobs", "/jobs?after=a"]
