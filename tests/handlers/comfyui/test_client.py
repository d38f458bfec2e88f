import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config.errors import (
    ComfyDied,
    ComfyDiskFull,
    ComfyError,
    ComfyProtocolError,
    ComfyTimeout,
    ComfyUnavailable,
    GraphRejected,
    NodeFailed,
    NodeMissing,
    OutOfMemory,
    OutputInvalid,
    OutputsMissing,
    PromptInterrupted,
    TextTooLarge,
)
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.prompt import Prompt, Waits
from handlers.comfyui.transport import MAX_FILE_BYTES, Transport
from handlers.kinds.base import Pixels, PromptRun
from tests.support.recordings import NAMES, Recording, http_probes, recording
from tests.support.replay_server import Faults, ReplayServer

WAITS = Waits(
    connect_s=1.0,
    reply_s=1.0,
    poll_s=0.15,
    poll_reply_s=0.5,
    silence_s=1.0,
    settle_s=0.3,
    history_s=1.0,
    stop_s=0.5,
)
FLUX = recording("flux_new_seed")
SUCCEEDED = [name for name in NAMES if recording(name).history["status"]["completed"]]


@contextmanager
def replaying(
    session: Recording = FLUX, *, waits: Waits = WAITS, **faults: Any
) -> Iterator[tuple[ReplayServer, ComfyClient]]:
    with (
        ReplayServer(session, Faults(**faults)) as server,
        ComfyClient(server.url, waits=waits, log_tail=lambda: ("last words",)) as client,
    ):
        yield server, client


def run(client: ComfyClient, session: Recording = FLUX, **options: Any) -> PromptRun:
    settings: dict[str, Any] = {"prompt_id": "job-1-a1", "deadline_s": 10.0} | options
    return client.run(session.graph, **settings)


# -- recorded sessions


@pytest.mark.parametrize("name", SUCCEEDED)
def test_a_recorded_success_gives_its_files_timings_and_progress(name: str) -> None:
    session = recording(name)
    progress: list[tuple[float, str | None]] = []
    with replaying(session, waits=replace(WAITS, poll_s=5.0)) as (server, client):
        result = run(client, session, on_progress=lambda *report: progress.append(report))
        assert [post["prompt_id"] for post in server.posts] == ["job-1-a1"]
        assert server.posts[0]["prompt"] == session.graph
        assert server.interrupted == []
        assert "GET /queue" not in server.requests  # the socket told everything

    assert result.prompt_id == "job-1-a1"
    if name == "save_image_websocket":
        assert [file.filename for file in result.files] == ["save_00001_.png"]
        assert result.files[0].body.startswith(b"\x89PNG")
        assert len(result.files[0].body) == 9962 - 8
    else:
        assert [(file.node, file.filename, file.body) for file in result.files] == [
            ("save", filename, f"the file {filename}".encode()) for _, filename in session.files
        ]
    cached = session.history["status"]["messages"][1][1]["nodes"]
    sampled = any(
        node["class_type"] == "KSampler" and id not in cached for id, node in session.graph.items()
    )
    assert (result.timings.sampling > 0) == sampled
    fractions = [fraction for fraction, _ in progress]
    assert fractions == sorted(fractions)
    assert progress[-1] == (1.0, None)
    assert ("KSampler" in [node for _, node in progress]) == sampled


def test_a_recorded_node_failure_is_told_with_node_exception_and_log() -> None:
    with replaying(recording("runtime_error")) as (server, client):
        with pytest.raises(NodeFailed) as caught:
            run(client, recording("runtime_error"))
        assert server.interrupted == []
    assert caught.value.field == "7"
    assert caught.value.value == "safetensors._safetensors_rust.SafetensorError"
    assert "LoraLoaderModelOnly (node 7)" in caught.value.message
    assert caught.value.log_tail == ("last words",)


def test_a_recorded_interruption_by_someone_else_is_no_failure_of_a_node() -> None:
    with (
        replaying(recording("interrupted")) as (_, client),
        pytest.raises(PromptInterrupted, match="KSampler"),
    ):
        run(client, recording("interrupted"))


@pytest.mark.parametrize("name", ["runtime_error", "interrupted"])
def test_an_end_that_only_history_tells_is_the_same_error(name: str) -> None:
    expected = NodeFailed if name == "runtime_error" else PromptInterrupted
    with (
        replaying(recording(name), mute_after=2) as (_, client),
        pytest.raises(expected),
    ):
        run(client, recording(name))


@pytest.mark.parametrize(
    ("exception_type", "message"),
    [
        ("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("torch.cuda.OutOfMemoryError", "Allocation on device"),
        ("RuntimeError", "CUDA error: out of memory"),
    ],
)
def test_out_of_memory_has_its_own_error(exception_type: str, message: str) -> None:
    data = {
        "prompt_id": "job-1-a1",
        "node_id": "9",
        "node_type": "KSampler",
        "exception_type": exception_type,
        "exception_message": message,
    }
    frame = json.dumps({"type": "execution_error", "data": data})
    with (
        replaying(extra_frames=[frame]) as (_, client),
        pytest.raises(OutOfMemory) as caught,
    ):
        run(client)
    assert caught.value.retryable


def failure(node_class: str, exception_type: str, message: str) -> ComfyError:
    data = {
        "prompt_id": "job-1-a1",
        "node_id": "9",
        "node_type": node_class,
        "exception_type": exception_type,
        "exception_message": message,
    }
    frame = json.dumps({"type": "execution_error", "data": data})
    with replaying(extra_frames=[frame]) as (_, client), pytest.raises(ComfyError) as caught:
        run(client)
    return caught.value


@pytest.mark.parametrize("node_class", ["CLIPTextEncode", "CLIPTextEncodeFlux"])
@pytest.mark.parametrize("exception_type", ["torch.OutOfMemoryError", "MemoryError"])
def test_memory_that_a_text_takes_is_not_tried_again(node_class: str, exception_type: str) -> None:
    error = failure(node_class, exception_type, "Unable to allocate 21.0 GiB")
    assert isinstance(error, TextTooLarge)
    assert not error.retryable


def test_a_full_output_folder_is_tried_again_elsewhere() -> None:
    error = failure("SaveImage", "OSError", "[Errno 28] No space left on device: 'ryla_1_.png'")
    assert isinstance(error, ComfyDiskFull)
    assert error.retryable


def test_a_sampler_that_hangs_is_noticed_by_its_pace_though_comfyui_answers() -> None:
    session = recording("flux_cold")
    first = next(n for n, (_, message) in enumerate(session.frames) if '"progress"' in str(message))
    at, message = session.frames[first]
    told = json.loads(message)
    steps = [
        (at, json.dumps(told | {"data": told["data"] | {"value": value, "max": 20}}))
        for value in range(1, 7)
    ]
    session = replace(session, frames=(*session.frames[:first], *steps, *session.frames[first:]))
    quick = replace(WAITS, step_s=0.4, pace=10.0)
    with replaying(session, waits=quick, stall_after=first + len(steps)) as (server, client):
        begin = time.monotonic()
        with pytest.raises(ComfyTimeout, match="ComfyUI hangs"):
            run(client, session)
        assert time.monotonic() - begin < 5
        assert server.interrupted == [{"prompt_id": "job-1-a1"}]


# -- outputs


def test_outputs_are_read_from_the_output_folder_when_it_is_ours(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "video/w_00010_.mp4").write_bytes(b"mp4")
    session = recording("wan_video")
    with ReplayServer(session) as server:
        with ComfyClient(server.url, waits=WAITS, output_folder=tmp_path) as client:
            result = run(client, session)
        assert "GET /view" not in server.requests
    assert [file.body for file in result.files] == [b"mp4"]


def test_a_file_that_is_larger_than_any_output_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "p_00001_.rgb").open("wb") as sparse:
        sparse.truncate(MAX_FILE_BYTES + 1)
    with (
        ReplayServer(altered(bare(b"12"))) as server,
        ComfyClient(server.url, waits=WAITS, output_folder=tmp_path) as client,
        pytest.raises(ComfyProtocolError, match="more than"),
    ):
        run(client)


def test_a_file_missing_from_the_output_folder_is_outputs_missing(tmp_path: Path) -> None:
    with (
        ReplayServer(FLUX) as server,
        ComfyClient(server.url, waits=WAITS, output_folder=tmp_path) as client,
        pytest.raises(OutputsMissing, match="t2i_00052_"),
    ):
        run(client)


def _kind(frame: str | bytes) -> str:
    return str(json.loads(frame).get("type")) if isinstance(frame, str) else "binary"


def altered(outputs: dict[str, Any]) -> Recording:
    """With these outputs in its history, and without the frames that tell of the real ones."""
    history = FLUX.history | {"outputs": outputs}
    frames = tuple(each for each in FLUX.frames if _kind(each[1]) != "executed")
    return Recording(FLUX.name, FLUX.prompt_id, frames, FLUX.reply, history)


UNHEARD = altered(FLUX.history["outputs"])
"""A session whose end must be read from history."""


@pytest.mark.parametrize(
    ("subfolder", "filename"), [("..", "secret.png"), ("", "/etc/hostname"), ("a", "link.png")]
)
def test_a_path_outside_the_output_folder_is_refused(
    tmp_path: Path, subfolder: str, filename: str
) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    output = tmp_path / "output"
    (output / "a").mkdir(parents=True)
    (output / "a/link.png").symlink_to(tmp_path / "secret.png")
    item = {"filename": filename, "subfolder": subfolder, "type": "output"}
    with (
        ReplayServer(altered({"save": {"images": [item]}})) as server,
        ComfyClient(server.url, waits=WAITS, output_folder=output) as client,
        pytest.raises(ComfyProtocolError, match="outside the output folder"),
    ):
        run(client)


def test_a_view_of_404_is_outputs_missing() -> None:
    fully_cached = recording("flux_fully_cached")
    with (
        replaying(fully_cached, lost_files=True) as (_, client),
        pytest.raises(OutputsMissing, match="404") as caught,
    ):
        run(client, fully_cached)
    assert caught.value.hint is not None
    assert "filename_prefix" in caught.value.hint


def test_a_success_whose_save_node_saved_nothing_is_outputs_missing() -> None:
    with (
        replaying(altered({})) as (_, client),
        pytest.raises(OutputsMissing, match="SaveImage") as caught,
    ):
        run(client)
    assert caught.value.field == "save"


def test_previews_are_no_outputs() -> None:
    kept = {"filename": "t2i_00052_.png", "subfolder": "", "type": "output"}
    preview = {"filename": "ComfyUI_temp_00001_.png", "subfolder": "", "type": "temp"}
    jpeg = b"\0\0\0\1\0\0\0\1\xff\xd8"
    session = altered({"save": {"images": [kept]}, "look": {"images": [preview]}})
    with replaying(session, extra_frames=[jpeg]) as (_, client):
        assert [file.filename for file in run(client).files] == ["t2i_00052_.png"]


# -- refusals


@pytest.mark.parametrize(
    "title", [title for title, (status, _) in http_probes().items() if status == 400]
)
def test_every_recorded_refusal_is_a_rejected_graph(title: str) -> None:
    with replaying(post_answer=http_probes()[title]) as (server, client):
        with pytest.raises(GraphRejected) as caught:
            run(client)
        assert server.interrupted == []  # nothing was taken
        assert len(server.posts) == 1
    assert caught.value.message
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("title", "field", "value", "told"),
    [
        ("required_input_missing", "9.seed", None, "KSampler (node 9)"),
        ("int too big", "9.steps", 99999, "bigger than max of 10000"),
        ("enum not in list", "9.sampler_name", "nope", "list of length 44"),
        ("model file not in list", "1.unet_name", "nope.safetensors", "UNETLoader"),
        ("wrong link type", "9.model", None, "received_type(CLIP)"),
        ("two bad nodes", "2.clip_name1", "nah.safetensors", "1 more"),
        ("no output node", None, None, "Prompt has no outputs"),
    ],
)
def test_a_refusal_names_node_input_and_value(
    title: str, field: str | None, value: object, told: str
) -> None:
    title = {"required_input_missing": "missing required input"}.get(title, title)
    with (
        replaying(post_answer=http_probes()[title]) as (_, client),
        pytest.raises(GraphRejected) as caught,
    ):
        run(client)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert told in caught.value.message


def test_a_wrong_file_name_gets_the_nearest_right_one_as_hint() -> None:
    status, body = http_probes()["model file not in list"]
    near = body.replace("nope.safetensors", "micro-flux-dev.safetensors")
    with (
        replaying(post_answer=(status, near)) as (_, client),
        pytest.raises(GraphRejected) as caught,
    ):
        run(client)
    assert caught.value.hint == "Did you mean 'micro-flux1-dev.safetensors'?"


@pytest.mark.parametrize(
    ("version", "title"),
    [
        ("0.8.0", "unknown class"),
        ("0.33.0", "unknown class"),
        ("0.33.0", "unknown class with a title"),
    ],
)
def test_a_node_class_that_is_not_there_is_node_missing(version: str, title: str) -> None:
    with (
        replaying(post_answer=http_probes(version)[title]) as (_, client),
        pytest.raises(NodeMissing) as caught,
    ):
        run(client)
    assert (caught.value.field, caught.value.value) == ("9", "NoSuchNode")
    assert "check the graph" in (caught.value.hint or "")


def test_a_node_without_a_class_is_a_rejected_graph() -> None:
    with (
        replaying(post_answer=http_probes("0.33.0")["no class_type"]) as (_, client),
        pytest.raises(GraphRejected, match="Node 'ID #9' has no class_type") as caught,
    ):
        run(client)
    assert not isinstance(caught.value, NodeMissing)


@pytest.mark.parametrize(
    ("title", "field", "told", "hint"),
    [
        (
            "prompt id without hyphens",
            None,
            "must be a valid UUID",
            "lower-case hex digits with hyphens",
        ),
        ("cycle of two", "5", "5 (FluxGuidance) -> 8 (ConditioningZeroOut) -> 5", "Break"),
        (
            "LoadImage outside its folder",
            "li.image",
            "Invalid image file: ../secret/s.png",
            "Upload the file",
        ),
    ],
)
def test_what_a_newer_comfyui_refuses_has_a_hint(
    title: str, field: str | None, told: str, hint: str
) -> None:
    with (
        replaying(post_answer=http_probes("0.33.0")[title]) as (_, client),
        pytest.raises(GraphRejected) as caught,
    ):
        run(client)
    assert caught.value.field == field
    assert told in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_cycle_which_an_older_comfyui_refuses_without_detail_is_hinted_at() -> None:
    error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed"}
    answer = (400, json.dumps({"error": error, "node_errors": {}}))
    with (
        replaying(post_answer=answer) as (_, client),
        pytest.raises(GraphRejected) as caught,
    ):
        run(client)
    assert "cycle" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "title", ["two outputs, one bad: partial accept", "missing LoadImage file"]
)
def test_a_partly_accepted_graph_is_rejected_and_its_rest_taken_back(title: str) -> None:
    with replaying(post_answer=http_probes()[title], stall_after=5) as (server, client):
        with pytest.raises(GraphRejected):
            run(client)
        assert "POST /queue" in server.requests
        assert server.interrupted == [{"prompt_id": "job-1-a1"}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((413, "413 Maximum request body size exceeded"), GraphRejected),
        (http_probes()["bad json"], ComfyProtocolError),
        ((403, ""), ComfyProtocolError),
        ((404, "not found"), ComfyProtocolError),
        ((400, "<html>"), ComfyProtocolError),
        ((200, "nonsense"), ComfyProtocolError),
        ((200, "[1, 2]"), ComfyProtocolError),
        ((200, "[" * 100_000), ComfyProtocolError),
        ((200, '{"prompt_id": "another", "node_errors": {}}'), ComfyProtocolError),
        ((400, '{"error": "text", "node_errors": [1]}'), GraphRejected),
        ((400, '{"error": {}, "node_errors": {"9": {"errors": [3]}}}'), GraphRejected),
        ((400, '{"error": {}, "node_errors": {"9": 3}}'), GraphRejected),
    ],
)
def test_an_odd_answer_to_the_post_is_a_named_error(
    answer: tuple[int, str], error: type[ComfyError]
) -> None:
    with replaying(post_answer=answer) as (server, client):
        with pytest.raises(error):
            run(client)
        assert len(server.posts) == 1


# -- the POST that may have got through


def test_a_lost_reply_to_an_applied_post_is_found_and_not_posted_again() -> None:
    with replaying(lose_replies=1) as (server, client):
        assert len(run(client).files) == 1
        assert len(server.posts) == 1


def test_a_lost_reply_is_found_in_history_when_the_prompt_has_ended_already() -> None:
    with replaying(recording("flux_fully_cached"), lose_replies=1) as (server, client):
        assert len(run(client, recording("flux_fully_cached")).files) == 1
        assert len(server.posts) == 1


def test_a_post_that_was_dropped_unapplied_is_posted_once_more() -> None:
    with replaying(drop_posts=1) as (server, client):
        assert len(run(client).files) == 1
        assert len(server.posts) == 2
        before_second = server.requests[
            : len(server.requests) - server.requests[::-1].index("POST /prompt")
        ]
        assert any(request.startswith("GET /history/") for request in before_second)


def test_a_post_that_is_dropped_again_and_again_is_given_up() -> None:
    with replaying(drop_posts=9) as (server, client):
        with pytest.raises(ComfyDied):
            run(client)
        assert len(server.posts) == 2


def test_a_reply_that_comes_too_late_is_not_waited_for_when_the_prompt_is_there() -> None:
    with replaying(reply_delay_s=1.5) as (server, client):
        assert len(run(client).files) == 1
        assert len(server.posts) == 1


def test_a_slow_server_gets_no_second_post_since_the_first_may_still_be_applied() -> None:
    with replaying(reply_delay_s=1.5, swallow=True) as (server, client):
        with pytest.raises(ComfyTimeout):
            run(client)
        assert len(server.posts) == 1
        assert "POST /queue" in server.requests  # taken back, should it come


# -- the socket fails


@pytest.mark.parametrize("after", [3, 8, 15])
def test_a_dropped_socket_is_opened_again_with_the_same_client_id(after: int) -> None:
    with replaying(drop_socket_after=after) as (server, client):
        assert len(run(client).files) == 1
        assert server.sockets_opened == 2
        assert len(server.posts) == 1


def test_a_silent_socket_is_made_up_for_by_polling() -> None:
    progress: list[float] = []
    with replaying(mute_after=4) as (server, client):
        result = run(client, on_progress=lambda fraction, _: progress.append(fraction))
        assert "GET /queue" in server.requests
    assert len(result.files) == 1
    assert progress[-1] == 1.0


# -- the socket is kept


def test_prompts_share_one_socket_for_as_long_as_they_end_over_it() -> None:
    with replaying() as (server, client):
        for number in range(3):
            assert len(run(client, prompt_id=f"p{number}").files) == 1
        assert server.sockets_opened == 1
        assert len({post["client_id"] for post in server.posts}) == 1
        assert not [each for each in server.requests if each.startswith("GET /history/")]


def test_a_client_that_is_closed_closes_the_socket_that_it_kept() -> None:
    with replaying() as (_, client):
        run(client)
        wire = client._kept
        assert wire is not None
        assert wire.is_open
        client.close()
        assert not wire.is_open


def test_a_socket_that_was_closed_between_prompts_is_replaced_before_the_next_post() -> None:
    with replaying() as (server, client):
        run(client, prompt_id="p0")
        assert client.is_in_touch()
        server.drop_sockets()
        assert not client.is_in_touch()
        assert len(run(client, prompt_id="p1").files) == 1
        assert server.sockets_opened == 2
        opened = [each for each in server.requests if each in ("GET /ws", "POST /prompt")]
        assert opened == ["GET /ws", "POST /prompt"] * 2
        assert len({post["client_id"] for post in server.posts}) == 2
        assert not [each for each in server.requests if each.startswith("GET /history/")]


def test_a_socket_on_which_the_end_did_not_come_is_not_kept() -> None:
    with replaying(mute_after=4) as (server, client):
        run(client, prompt_id="p0")
        assert not client.is_in_touch()
        server.faults.mute_after = None
        run(client, prompt_id="p1")
        assert server.sockets_opened == 2
        assert client.is_in_touch()


def test_a_prompt_that_was_given_up_leaves_no_socket_behind() -> None:
    with replaying(stall_after=8, ignore_interrupt=True) as (_, client):
        with pytest.raises(PromptInterrupted):
            run(client, should_stop=stop_after(0.1))
        assert not client.is_in_touch()


def test_a_server_that_answers_no_ping_is_out_of_touch() -> None:
    with replaying(deaf=True) as (_, client):
        run(client)
        assert client._kept is not None
        assert not client._kept.is_answered(within_s=0.05)


# -- a prompt that is sent ahead


def ahead(client: ComfyClient, **options: Any) -> list[PromptRun]:
    """Two prompts, the second of which ComfyUI has before the first ends."""
    after = Prompt(FLUX.graph, "p1")
    first = run(client, prompt_id="p0", then=after, **options)
    assert client.is_ahead("p1")
    return [first, run(client, prompt_id="p1")]


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"lose_replies": 2},
        {"drop_socket_after": 3},
        {"drop_socket_after": 15},
        {"mute_after": 4},
        {"history_lag_s": 0.2},
    ],
    ids=str,
)
def test_two_prompts_that_were_sent_at_once_both_bring_their_files(faults: dict[str, Any]) -> None:
    with replaying(**faults) as (server, client):
        for done in ahead(client):
            assert len(done.files) == 1
        assert [post["prompt_id"] for post in server.posts] == ["p0", "p1"]
        posts = [at for at, name in enumerate(server.requests) if name == "POST /prompt"]
        views = [at for at, name in enumerate(server.requests) if name == "GET /view"]
        assert posts[1] < views[0]


def test_a_prompt_sent_ahead_has_timings_of_its_own() -> None:
    with replaying() as (_, client):
        first, second = ahead(client)
        assert first.timings.sampling > 0
        assert second.timings.sampling > 0


def test_what_was_sent_ahead_is_taken_back_first_when_its_predecessor_is_stopped() -> None:
    with replaying(stall_after=8) as (server, client):
        with pytest.raises(PromptInterrupted, match=r"^Stopped on request$"):
            run(client, then=Prompt(FLUX.graph, "p1"), should_stop=stop_after(0.1))
        assert not client.is_ahead("p1")
        assert [each["prompt_id"] for each in server.interrupted] == ["p1", "job-1-a1"]
        assert server.queue() == {"queue_running": [], "queue_pending": []}
        assert server.history("p1") == {}


def test_what_was_sent_ahead_is_taken_back_when_its_predecessor_fails() -> None:
    failing = recording("runtime_error")
    with replaying(failing) as (server, client):
        with pytest.raises(NodeFailed):
            run(client, failing, then=Prompt(failing.graph, "p1"))
        assert not client.is_ahead("p1")
        assert {"prompt_id": "p1"} in server.interrupted


def test_what_was_sent_ahead_and_is_wanted_no_more_can_be_taken_back() -> None:
    with replaying() as (server, client):
        run(client, prompt_id="p0", then=Prompt(FLUX.graph, "p1"))
        client.take_back("p1")
        client.take_back("p1")
        assert [each["prompt_id"] for each in server.interrupted] == ["p1"]
        assert not client.is_in_touch()


def test_a_client_that_is_closed_takes_back_what_it_sent_ahead() -> None:
    with replaying() as (server, client):
        run(client, prompt_id="p0", then=Prompt(FLUX.graph, "p1"))
        client.close()
        assert [each["prompt_id"] for each in server.interrupted] == ["p1"]


def test_a_next_prompt_that_is_refused_leaves_the_running_one_alone() -> None:
    with replaying() as (server, client):
        server.refused = {"p1"}
        assert len(run(client, prompt_id="p0", then=Prompt(FLUX.graph, "p1")).files) == 1
        assert not client.is_ahead("p1")
        with pytest.raises(GraphRejected):
            run(client, prompt_id="p1")


def test_a_pending_prompt_that_was_deleted_sends_nothing_and_is_told_as_such() -> None:
    with (
        replaying(swallow=True) as (_, client),
        pytest.raises(PromptInterrupted, match="deleted from ComfyUI's queue"),
    ):
        run(client)


def test_history_may_lag_behind_the_end() -> None:
    with replaying(UNHEARD, history_lag_s=0.3) as (_, client):
        assert len(run(client).files) == 1


def test_history_that_never_comes_is_a_protocol_error() -> None:
    with (
        replaying(UNHEARD, history_lag_s=60) as (_, client),
        pytest.raises(ComfyProtocolError, match="no history"),
    ):
        run(client)


@pytest.mark.parametrize(
    "frame", ["nonsense", '{"type": "executing", "data": {"node": 3}}', b"\0\0"]
)
def test_a_nonsense_frame_ends_the_prompt_with_a_named_error(frame: str | bytes) -> None:
    with replaying(extra_frames=[frame], stall_after=8) as (server, client):
        with pytest.raises(ComfyProtocolError) as caught:
            run(client)
        assert server.interrupted == [{"prompt_id": "job-1-a1"}]
    assert caught.value.log_tail == ("last words",)


def test_frames_of_unknown_types_and_of_other_prompts_are_passed_over() -> None:
    other = {"type": "executing", "data": {"node": None, "prompt_id": "other"}}
    odd = {"type": "pack.monitor", "data": [1]}
    with replaying(extra_frames=[json.dumps(other), json.dumps(odd)]) as (_, client):
        assert len(run(client).files) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/history/job-1-a1", b"{"),
        ("/history/job-1-a1", b'{"job-1-a1": 3}'),
        ("/history/job-1-a1", b'{"job-1-a1": {"status": "x", "outputs": {}}}'),
    ],
)
def test_a_nonsense_history_is_a_protocol_error(path: str, body: bytes) -> None:
    with (
        replaying(UNHEARD, garbage={path: (200, body)}) as (_, client),
        pytest.raises(ComfyProtocolError),
    ):
        run(client)


# -- stopping


def stop_after(seconds: float) -> Callable[[], bool]:
    at = time.monotonic() + seconds
    return lambda: time.monotonic() >= at


def test_should_stop_interrupts_the_prompt_and_returns_promptly() -> None:
    with replaying(stall_after=8) as (server, client):
        begin = time.monotonic()
        with pytest.raises(PromptInterrupted, match=r"^Stopped on request$"):
            run(client, should_stop=stop_after(0.1))
        assert time.monotonic() - begin < 10
        assert server.interrupted == [{"prompt_id": "job-1-a1"}]


def test_should_stop_is_bounded_when_comfyui_ignores_the_interruption() -> None:
    with replaying(stall_after=8, ignore_interrupt=True) as (_, client):
        begin = time.monotonic()
        with pytest.raises(PromptInterrupted, match="did not stop"):
            run(client, should_stop=stop_after(0.1))
        assert time.monotonic() - begin < 10


def test_the_deadline_interrupts_the_prompt() -> None:
    with replaying(stall_after=8) as (server, client):
        with pytest.raises(ComfyTimeout, match=r"0\.3 s"):
            run(client, deadline_s=0.3)
        assert server.interrupted == [{"prompt_id": "job-1-a1"}]


def test_an_error_of_the_callers_own_takes_the_prompt_back() -> None:
    class LeaseLostError(Exception):
        pass

    def lose(fraction: float, node_class: str | None) -> None:
        raise LeaseLostError

    with replaying(stall_after=8) as (server, client):
        with pytest.raises(LeaseLostError):
            run(client, on_progress=lose)
        assert server.interrupted == [{"prompt_id": "job-1-a1"}]


# -- nobody there


def test_nobody_at_the_address_is_unavailable() -> None:
    with ReplayServer(FLUX) as server:
        url = server.url
    with ComfyClient(url, waits=WAITS) as client:
        with pytest.raises(ComfyUnavailable):
            run(client)
        with pytest.raises(ComfyUnavailable):
            client.system_stats()


def test_a_server_that_goes_in_the_middle_of_a_prompt_has_died() -> None:
    with replaying(stall_after=8) as (server, client):
        threading.Timer(0.2, server.close).start()
        begin = time.monotonic()
        with pytest.raises(ComfyDied) as caught:
            run(client)
        assert time.monotonic() - begin < 10
    assert caught.value.log_tail == ("last words",)


def test_a_prompt_that_is_gone_after_it_started_means_a_restarted_server() -> None:
    empty = (200, b'{"queue_running": [], "queue_pending": []}')
    with (
        replaying(stall_after=8, garbage={"/queue": empty}) as (_, client),
        pytest.raises(ComfyDied, match="restarted"),
    ):
        run(client)


# -- the rest of the interface


def test_system_stats_free_interrupt_and_upload() -> None:
    with replaying() as (server, client):
        assert client.system_stats()["system"]["comfyui_version"] == "0.8.0"
        assert client.upload_image(b"png", "face.png") == "sub/face (1).png"
        client.free()
        client.interrupt("p")
        assert server.interrupted == [{"prompt_id": "p"}]


@pytest.mark.parametrize("body", [b"{}", b'{"name": 3}', b'{"name": "a", "subfolder": 3}'])
def test_an_upload_without_a_name_is_a_protocol_error(body: bytes) -> None:
    with (
        replaying(garbage={"/upload/image": (200, body)}) as (_, client),
        pytest.raises(ComfyProtocolError),
    ):
        client.upload_image(b"png", "face.png")


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"nonsense"), (200, b"[]")])
def test_a_wrong_answer_to_a_get_is_a_protocol_error(answer: tuple[int, bytes]) -> None:
    with (
        replaying(garbage={"/object_info": answer}) as (_, client),
        pytest.raises(ComfyProtocolError),
    ):
        client.object_info()


def test_an_answer_that_is_too_big_is_refused() -> None:
    with (
        replaying(garbage={"/object_info": (200, b"{" + b" " * 5000 + b"}")}) as (server, _),
        Transport(server.url, connect_s=1.0, reply_s=1.0) as transport,
        pytest.raises(ComfyProtocolError, match="more than 4096 bytes"),
    ):
        transport.call("GET", "/object_info", limit=4096)


def test_two_threads_can_share_a_client() -> None:
    with replaying() as (_, client):
        results: list[PromptRun] = []
        threads = [
            threading.Thread(target=lambda i=i: results.append(run(client, prompt_id=f"p{i}")))
            for i in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(result.prompt_id for result in results) == ["p0", "p1"]


def test_the_client_costs_little_beside_the_prompt() -> None:
    with replaying() as (_, client):
        run(client, prompt_id="warm-up")
        begin = time.perf_counter()
        for number in range(10):
            run(client, prompt_id=f"p{number}")
        # Under 15 ms on an idle machine, this server's own share included; here only the order.
        assert (time.perf_counter() - begin) / 10 < 0.1


# -- our own nodes


def bare(pixels: bytes, *, width: int = 2, digest: str | None = None) -> dict[str, Any]:
    told = {
        "width": width,
        "height": 1,
        "sha256": digest or hashlib.sha256(pixels).hexdigest(),
    }
    file = {"filename": "p_00001_.rgb", "subfolder": "", "type": "output", "pixels": told}
    return {"save": {"images": [file]}}


def from_folder(tmp_path: Path, outputs: dict[str, Any], body: bytes) -> PromptRun:
    (tmp_path / "p_00001_.rgb").write_bytes(body)
    with (
        ReplayServer(altered(outputs)) as server,
        ComfyClient(server.url, waits=WAITS, output_folder=tmp_path) as client,
    ):
        return run(client)


def test_bare_pixels_come_as_a_png_and_as_they_are(tmp_path: Path) -> None:
    pixels = b"\1\2\3\xf0\xf1\xf2"

    (file,) = from_folder(tmp_path, bare(pixels), pixels).files

    assert file.filename == "p_00001_.png"
    assert file.saved == Pixels(2, 1, pixels, hashlib.sha256(pixels).hexdigest())
    with Image.open(io.BytesIO(file.body)) as image:
        assert (image.format, image.size, image.tobytes()) == ("PNG", (2, 1), pixels)


def test_pixels_of_another_size_than_the_node_said_are_missing(tmp_path: Path) -> None:
    pixels = b"\1\2\3\xf0\xf1\xf2"
    with pytest.raises(OutputsMissing, match=r"p_00001_\.rgb"):
        from_folder(tmp_path, bare(pixels, width=3), pixels)


def test_pixels_that_are_not_those_that_the_node_wrote_make_no_picture(tmp_path: Path) -> None:
    pixels = b"\1\2\3\xf0\xf1\xf2"
    (file,) = from_folder(tmp_path, bare(pixels, digest="0" * 64), pixels).files
    with pytest.raises(OutputInvalid, match=r"p_00001_\.png"):
        _ = file.body


def test_what_the_socket_told_whole_is_not_asked_of_history() -> None:
    with replaying() as (server, client):
        assert len(run(client).files) == 1
        assert not [each for each in server.requests if each.startswith("GET /history/")]
