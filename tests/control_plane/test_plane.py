"""The loopback control plane itself, with a small app of its own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.modal_plane import ModalPlane
from tests.support.modal_plane.plane import CallFailed
from tests.support.modal_plane.processes import peak_memory_mib
from tests.support.modal_plane.registered import RegisteredVolume
from tests.support.stack import wait_until

pytestmark = [pytest.mark.xdist_group("plane"), pytest.mark.thorough]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def plane() -> Iterator[ModalPlane]:
    with ModalPlane({"small": {"WORD": "hello"}}, image_env={"FROM_IMAGE": "1"}) as plane:
        deployed = plane.cli("deploy", "small_app.py", cwd=HERE)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield plane


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


def written(diary: Path) -> list[str]:
    return diary.read_text().split() if diary.exists() else []


def running(plane: ModalPlane, diary: Path, seconds: float) -> tuple[str, str]:
    """A call that has started; its id and its container's."""
    call_id = plane.call("Box", str(diary), seconds, method="run")
    assert wait_until(lambda: written(diary)), plane.log()
    return call_id, plane.deliveries("Box")[-1].container


def test_what_was_registered_is_told_in_the_words_of_the_code(plane: ModalPlane) -> None:
    app = plane.app("small")
    box, look, web = (app.functions[name] for name in ("Box", "look", "web"))
    assert app.tags == {"team": "tests"}
    assert (box.is_class, box.methods, box.gpus) == (True, ("run",), ("L40S", "H100"))
    assert (box.timeout_s, box.retries, box.snapshot) == (600, 0, False)
    assert box.volumes == {"/models": RegisteredVolume("weights", 2, read_only=True)}
    assert (look.cron, look.max_containers, look.timeout_s) == ("* * * * *", 1, 50)
    assert look.secrets == ("small",)
    assert look.files == {"/root/small_app.py"}
    assert "RUN apt-get install -y git" in look.image
    assert web.web is not None
    assert (web.web.label, web.web.requires_proxy_auth, web.max_inputs) == ("small-web", False, 4)
    assert look.web is None


def test_a_function_runs_with_its_secrets_and_the_shipped_files_alone(plane: ModalPlane) -> None:
    seen = plane.result(plane.call("look"))
    assert seen == {"word": "hello", "files": ["small_app.py"], "remote": True}


def test_an_error_ends_the_call(plane: ModalPlane) -> None:
    with pytest.raises(CallFailed, match="nothing here"):
        plane.result(plane.call("fail"))


def test_other_options_have_containers_of_their_own_and_a_running_call_is_cancelled(
    plane: ModalPlane, diary: Path
) -> None:
    assert plane.result(plane.call("spawn", str(diary))) == "RemoteError"
    assert wait_until(lambda: written(diary) == ["start", "InputCancellation"])
    assert written(Path(f"{diary}-h200")) == ["start"]
    assert ("H200",) in [delivery.function.gpus for delivery in plane.deliveries("Box")]


def test_what_a_killed_container_ran_is_run_again(plane: ModalPlane, diary: Path) -> None:
    call_id, container = running(plane, diary, 0.5)
    plane.kill(container)
    assert plane.result(call_id) is True
    assert written(diary) == ["start", "start"]
    first, second = plane.deliveries("Box")[-2:]
    assert first.input is second.input
    assert first.container != second.container


def test_preemption_interrupts_and_the_same_input_runs_again(
    plane: ModalPlane, diary: Path
) -> None:
    call_id, container = running(plane, diary, 2)
    plane.preempt(container)
    assert plane.result(call_id) is True
    assert written(diary) == ["start", "KeyboardInterrupt", "start"]


def test_an_input_can_be_delivered_twice_at_once(plane: ModalPlane, diary: Path) -> None:
    plane.deliver_next_twice("Box")
    call_id = plane.call("Box", str(diary), 1, method="run")
    assert plane.result(call_id) is True
    assert wait_until(lambda: written(diary) == ["start", "start"])
    assert len({each.container for each in plane.deliveries("Box")[-2:]}) == 2


def test_web_requests_reach_the_app_and_answers_stream(plane: ModalPlane) -> None:
    url = f"{plane.web_url}/small-web"
    said = httpx.post(f"{url}/echo?a=1", content=b"body", timeout=30)
    assert (said.status_code, said.text, said.headers["x-test"]) == (201, "POST a=1 body", "yes")
    with httpx.stream("GET", f"{url}/tell", timeout=30) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "first"
        httpx.get(f"{url}/go-on", timeout=30)
        assert next(lines) == "second"
    assert httpx.get(f"{plane.web_url}/another").status_code == 404


def test_the_memory_of_a_container_is_measured(plane: ModalPlane, diary: Path) -> None:
    _, container = running(plane, diary, 0)
    assert 20 < peak_memory_mib(plane.pid(container)) < 200
