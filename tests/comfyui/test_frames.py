"""What a prompt's client hears over the WebSocket, frame by frame."""

import json
import time
import uuid
from contextlib import ExitStack
from typing import Any

from tests.support.comfy_wire import BINARY, Frame, Server, changed, flux_graph
from tests.support.recordings import recording


def recorded(name: str) -> list[Frame]:
    messages = [message for _, message in recording(name).frames]
    return [
        {"type": BINARY, "data": message} if isinstance(message, bytes) else json.loads(message)
        for message in messages
    ]


def bare(frames: list[Frame]) -> list[Frame]:
    """Frames without what differs from run to run: ids, times, file names, and the steps between
    the first and the last, of which ComfyUI leaves out those that follow each other too fast."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _VARIES.get(key, strip(inner)) for key, inner in value.items()}
        return [strip(inner) for inner in value] if isinstance(value, list) else value

    return [
        frame if frame["type"] != BINARY else {"type": BINARY, "data": frame["data"][:16]}
        for frame in strip(frames)
        if not _is_between(frame)
    ]


def _is_between(frame: Frame) -> bool:
    if frame["type"] == "progress":
        told = [frame["data"]]
    elif frame["type"] == "progress_state":
        told = [node for node in frame["data"]["nodes"].values() if node["state"] == "running"]
    else:
        return False
    return any(1 < each["value"] < each["max"] for each in told)


_VARIES = {"prompt_id": "ID", "sid": "SID", "timestamp": 0, "filename": "FILE", "subfolder": ""}


def free(server: Server) -> None:
    server.post("/free", {"free_memory": True})
    time.sleep(0.5)  # the worker does it when it next looks


def test_a_cold_prompt_loads_runs_and_saves_as_recorded(server: Server) -> None:
    free(server)

    run = server.run(flux_graph(server))

    assert bare(run.frames) == bare(recorded("flux_cold"))


def test_a_new_seed_runs_the_sampler_and_what_follows_it(server: Server) -> None:
    server.run(flux_graph(server))

    run = server.run(flux_graph(server))

    assert bare(run.frames) == bare(recorded("flux_new_seed"))


def test_a_prompt_that_ran_before_runs_no_node_and_names_the_old_file(server: Server) -> None:
    graph = flux_graph(server)
    first = server.run(graph)

    again = server.run(graph)

    assert bare(again.frames) == bare(recorded("flux_fully_cached"))
    assert again.images == first.images


def test_another_prefix_alone_saves_the_same_picture_again(server: Server) -> None:
    graph = flux_graph(server)
    first = server.run(graph)

    again = server.run(changed(graph, "save", filename_prefix="contract/other"))

    assert again.visited == ["save"]
    assert again.images[0]["filename"].startswith("other_")
    bodies = [server.get("/view", **run.images[0]).content for run in (first, again)]
    assert _pixels(bodies[0]) == _pixels(bodies[1])


def _pixels(body: bytes) -> bytes:
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(body)) as image:
        return image.convert("RGB").tobytes()


def test_an_unknown_input_is_taken_and_makes_the_node_run_again(server: Server) -> None:
    graph = flux_graph(server)
    server.run(graph)

    run = server.run(changed(graph, "9", whatever="1"))

    assert run.visited == ["9", "10", "save"]


def test_freeing_memory_empties_the_node_cache(server: Server) -> None:
    graph = flux_graph(server)
    server.run(graph)
    server.post("/free", {"unload_models": True})
    time.sleep(0.5)
    after_unloading = server.run(graph)
    free(server)

    after_freeing = server.run(graph)

    assert len(after_unloading.cached) == len(graph)
    assert after_freeing.cached == []


def test_an_earlier_prompt_is_cached_no_longer_once_another_has_run(server: Server) -> None:
    first, other = flux_graph(server), flux_graph(server)
    server.run(first)
    server.run(other)

    assert server.run(first).visited == ["9", "10", "save"]


def test_two_equal_save_nodes_share_one_file(server: Server) -> None:
    graph = flux_graph(server)
    graph["twin"] = graph["save"]

    run = server.run(graph)

    assert [node for node in run.visited if node in ("save", "twin")] in (["save"], ["twin"])
    assert run.history["outputs"]["save"] == run.history["outputs"]["twin"]


def test_saving_over_the_socket_sends_the_picture_and_leaves_no_output(server: Server) -> None:
    graph = flux_graph(server, steps=2)
    graph["save"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["10", 0]}}
    server.run(changed(graph, "6", width=128))

    run = server.run(graph)

    picture = run.of(BINARY)[0]
    assert picture.startswith(b"\0\0\0\1\0\0\0\2\x89PNG")
    assert _shape(run.frames) == _shape(recorded("save_image_websocket"))
    assert run.history["outputs"] == {}
    assert server.run(graph).visited == ["save"]


def _shape(frames: list[Frame]) -> list[str]:
    """Types alone, from the first progress frame of a node on."""
    kinds = [frame["type"] for frame in frames]
    return kinds[kinds.index("execution_cached") :]


def test_an_error_ends_with_the_same_last_frames_as_a_success(server: Server) -> None:
    run = server.run(changed(flux_graph(server), "save", filename_prefix="../outside"))

    kinds = [frame["type"] for frame in run.frames]
    assert kinds[-3:] == ["execution_error", "status", "executing"]
    error = run.of("execution_error")[0]
    known = next(f["data"] for f in recorded("runtime_error") if f["type"] == "execution_error")
    assert set(error) == set(known)
    assert (error["node_id"], error["node_type"]) == ("save", "SaveImage")
    assert "outside the output folder" in error["exception_message"]
    assert run.history["status"]["status_str"] == "error"
    assert run.history["outputs"] == {}


def test_an_interruption_reads_as_an_error_told_apart_by_its_message(server: Server) -> None:
    client_id = uuid.uuid4().hex
    with server.socket(client_id) as socket:
        graph = flux_graph(server, steps=300)
        prompt_id = server.prompt(graph, client_id=client_id).json()["prompt_id"]
        socket.until("progress", node="9")
        server.post("/interrupt", {"prompt_id": "another"})
        socket.until("progress", node="9")
        server.post("/interrupt", {"prompt_id": prompt_id})
        frames = socket.until_end(prompt_id)

    kinds = [frame["type"] for frame in frames]
    assert kinds[-3:] == ["execution_interrupted", "status", "executing"]
    data = frames[-3]["data"]
    assert data["node_id"] == "9"
    assert data["node_type"] == "KSampler"
    status = server.history(prompt_id)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert [name for name, _ in status["messages"]][-1] == "execution_interrupted"


def test_an_interrupt_while_nothing_runs_stops_nothing_later(server: Server) -> None:
    assert server.post("/interrupt", {}).status_code == 200

    assert server.run(flux_graph(server)).history["status"]["status_str"] == "success"


def test_messages_of_a_prompt_go_to_its_client_alone(server: Server) -> None:
    with server.socket(None) as bystander:
        assert len(bystander.next()["data"]["sid"]) == 32
        server.run(flux_graph(server))

        assert {frame["type"] for frame in bystander.drained()} == {"status"}


def test_a_second_socket_of_a_client_takes_over(server: Server) -> None:
    client_id = uuid.uuid4().hex
    with server.socket(client_id) as first, server.socket(client_id) as second:
        first.next()
        second.next()
        prompt_id = server.prompt(flux_graph(server), client_id=client_id).json()["prompt_id"]
        second.until_end(prompt_id)

        assert first.drained() == []


def test_a_client_that_comes_back_hears_the_running_node_and_then_the_rest(server: Server) -> None:
    client_id = uuid.uuid4().hex
    with server.socket(client_id) as socket:
        graph = flux_graph(server, steps=200)
        prompt_id = server.prompt(graph, client_id=client_id).json()["prompt_id"]
        socket.until("progress", node="9")
    time.sleep(0.1)
    with server.socket(client_id) as socket:
        frames = socket.until_end(prompt_id)

    assert frames[0]["data"]["sid"] == client_id
    assert frames[1] == {"type": "executing", "data": {"node": "9"}}
    assert "execution_start" not in [frame["type"] for frame in frames]
    assert server.history(prompt_id)["status"]["status_str"] == "success"


def test_a_prompt_of_nobody_runs_all_the_same(server: Server) -> None:
    prompt_id = server.prompt(flux_graph(server)).json()["prompt_id"]

    entry = server.finished(prompt_id)

    assert entry["status"]["status_str"] == "success"
    assert "client_id" not in entry["prompt"][3]


def test_feature_flags_are_answered(server: Server) -> None:
    with server.socket(uuid.uuid4().hex) as socket:
        socket.next()
        socket.send({"type": "feature_flags", "data": {"supports_preview_metadata": True}})

        answer = socket.next()

    assert answer["type"] == "feature_flags"
    assert answer["data"]["supports_preview_metadata"] is True


def test_the_end_of_a_socket_that_was_taken_over_silences_its_successor(server: Server) -> None:
    client_id = uuid.uuid4().hex
    with ExitStack() as later:
        with server.socket(client_id) as first:
            first.next()
            successor = later.enter_context(server.socket(client_id))
            successor.next()
        time.sleep(0.2)
        server.finished(server.prompt(flux_graph(server), client_id=client_id).json()["prompt_id"])

        assert successor.drained() == []
