"""POST /prompt, the queue and the history."""

import time
import uuid
from typing import Any

import httpx
import pytest

from tests.support.comfy_wire import Server, changed, flux_graph


def refused(reply: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
    assert reply.status_code == 400, reply.text
    body = reply.json()
    assert set(body) == {"error", "node_errors"}
    return body["error"], body["node_errors"]


def only_problem(node_errors: dict[str, Any], node: str) -> dict[str, Any]:
    assert list(node_errors) == [node]
    assert node_errors[node]["dependent_outputs"] == ["save"]
    (problem,) = node_errors[node]["errors"]
    assert isinstance(problem, dict)
    return problem


def without(graph: dict[str, Any], node: str) -> dict[str, Any]:
    return {node_id: each for node_id, each in graph.items() if node_id != node}


@pytest.mark.parametrize(
    ("body", "kind", "details"),
    [
        ({"client_id": "x"}, "no_prompt", "No prompt provided"),
        ({"prompt": {}}, "prompt_no_outputs", ""),
        (
            {"prompt": {"9": {"class_type": "NoSuchNode", "inputs": {}}}},
            "missing_node_type",
            "Node ID '#9'",
        ),
        ({"prompt": {"9": {"inputs": {}}}}, "missing_node_type", "Node ID '#9'"),
        (
            {"prompt": {}, "prompt_id": "05BBEFC6-503B-4FD3-A54F-82FFC43319C0"},
            "invalid_prompt_id",
            "prompt_id must be a UUID string in canonical lowercase hyphenated form;"
            " omit it to let the server generate one",
        ),
    ],
)
def test_a_prompt_that_cannot_be_read_is_refused_as_a_whole(
    server: Server, body: dict[str, Any], kind: str, details: str
) -> None:
    error, node_errors = refused(server.post("/prompt", body))

    assert (error["type"], error["details"]) == (kind, details)
    assert node_errors == {}


def test_a_graph_without_an_output_node_is_refused(server: Server) -> None:
    error, _ = refused(server.prompt(without(flux_graph(server), "save")))

    assert error["type"] == "prompt_no_outputs"


@pytest.mark.parametrize("body", [b"{", b'{"prompt": null}'])
def test_a_body_that_is_no_prompt_at_all_is_a_plain_500(server: Server, body: bytes) -> None:
    reply = httpx.post(server.url + "/prompt", content=body)

    assert reply.status_code == 500
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("node", "inputs", "kind", "details"),
    [
        ("9", {"seed": None}, "required_input_missing", "seed"),
        ("9", {"model": None}, "required_input_missing", "model"),
        ("9", {"sampler_name": "nope"}, "value_not_in_list", "not in (list of length 44)"),
        ("9", {"scheduler": "nope"}, "value_not_in_list", "'nope' not in ['simple', "),
        ("1", {"unet_name": "nope.safetensors"}, "value_not_in_list", "unet_name: 'nope.safet"),
        ("9", {"scheduler": 3}, "value_not_in_list", "scheduler: 3 not in"),
        ("1", {"unet_name": ["6", 0]}, "return_type_mismatch", "input_type(['"),
        ("9", {"steps": 99999}, "value_bigger_than_max", "steps"),
        ("9", {"denoise": {"__value__": 3}}, "value_bigger_than_max", "denoise"),
        ("9", {"steps": 0}, "value_smaller_than_min", "steps"),
        ("9", {"steps": "abc"}, "invalid_input_type", "steps, abc, invalid literal for int()"),
        ("9", {"model": ["2", 0]}, "return_type_mismatch", "model, received_type(CLIP)"),
        ("9", {"model": ["777", 0]}, "exception_during_inner_validation", "'777'"),
        ("9", {"model": ["1", 7]}, "exception_during_inner_validation", "tuple index out of"),
        ("9", {"model": ["1", 0, 0]}, "bad_linked_input", "model"),
    ],
)
def test_a_bad_input_is_told_with_its_node_and_kind(
    server: Server, node: str, inputs: dict[str, Any], kind: str, details: str
) -> None:
    error, node_errors = refused(server.prompt(changed(flux_graph(server), node, **inputs)))

    assert error["type"] == "prompt_outputs_failed_validation"
    problem = only_problem(node_errors, node)
    assert problem["type"] == kind
    assert details in problem["details"]


def test_a_node_without_inputs_is_told_with_its_consumer(server: Server) -> None:
    graph = flux_graph(server)
    del graph["9"]["inputs"]

    _, node_errors = refused(server.prompt(graph))

    problem = only_problem(node_errors, "9")
    assert problem["type"] == "exception_during_inner_validation"
    assert problem["extra_info"]["linked_node"] == ["9", 0]


def test_an_output_node_that_breaks_is_told_itself(server: Server) -> None:
    error, node_errors = refused(
        server.prompt(changed(flux_graph(server), "save", images=["777", 0]))
    )

    problem = only_problem(node_errors, "save")
    assert problem["type"] == "exception_during_validation"
    assert error["details"] == "Exception when validating node: '777'"


def test_two_bad_nodes_are_told_at_once(server: Server) -> None:
    graph = changed(flux_graph(server), "2", clip_name1="nah.safetensors")

    _, node_errors = refused(server.prompt(changed(graph, "1", unet_name="nope.safetensors")))

    assert set(node_errors) == {"1", "2"}


def test_a_node_that_is_linked_to_itself_is_named(server: Server) -> None:
    graph = changed(flux_graph(server), "8", conditioning=["8", 0])

    error, node_errors = refused(server.prompt(graph))

    assert (error["type"], error["details"]) == ("prompt_outputs_failed_validation", "")
    problem = only_problem(node_errors, "8")
    assert problem["type"] == "dependency_cycle"
    assert problem["details"] == "8 (ConditioningZeroOut) -> 8 (ConditioningZeroOut)"


def test_a_cycle_over_two_nodes_is_told_at_both(server: Server) -> None:
    graph = changed(flux_graph(server), "9", positive=["5", 0], negative=["5", 0])
    graph = changed(graph, "5", conditioning=["8", 0])

    _, node_errors = refused(server.prompt(changed(graph, "8", conditioning=["5", 0])))

    assert set(node_errors) == {"5", "8"}
    for node in node_errors.values():
        (problem,) = node["errors"]
        assert problem["type"] == "dependency_cycle"
        assert problem["extra_info"]["cycle_nodes"] == ["5", "8"]


def test_one_bad_output_of_two_is_dropped_and_the_prompt_runs(server: Server) -> None:
    graph = flux_graph(server)
    graph["bad"] = {"class_type": "SaveImage", "inputs": {"images": ["10", 0]}}

    run = server.run(graph)

    assert run.reply["node_errors"]["bad"]["dependent_outputs"] == ["bad"]
    assert run.history["status"]["status_str"] == "success"
    assert list(run.history["outputs"]) == ["save"]


def test_a_missing_input_picture_fails_the_nodes_own_check(server: Server) -> None:
    graph = flux_graph(server)
    graph["load"] = {"class_type": "LoadImage", "inputs": {"image": "nope.png"}}
    graph["save2"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["load", 0], "filename_prefix": "contract/x"},
    }

    (problem,) = server.run(graph).reply["node_errors"]["load"]["errors"]

    assert problem["type"] == "custom_validation_failed"
    assert problem["details"] == "image - Invalid image file: nope.png"


def test_numbers_count_posts_and_front_goes_below_zero(server: Server) -> None:
    graph = flux_graph(server)
    first = server.prompt(graph).json()["number"]
    server.prompt({})
    front = server.prompt(graph, front=True).json()["number"]
    own = server.prompt(graph, number=99.5).json()["number"]

    assert front == -(first + 2)
    assert own == 99.5
    wait_until_idle(server)


def wait_until_idle(server: Server) -> None:
    end = time.monotonic() + 60
    while server.get("/prompt").json()["exec_info"]["queue_remaining"]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_id_of_the_callers_is_kept_and_a_second_post_runs_again(server: Server) -> None:
    mine = str(uuid.uuid4())
    first = server.run(flux_graph(server), prompt_id=mine)

    second = server.run(flux_graph(server), prompt_id=mine)

    assert first.prompt_id == second.prompt_id == mine
    assert server.history(mine)["outputs"] == second.history["outputs"]
    assert first.images != second.images


def test_only_the_targets_run_when_some_are_named(server: Server) -> None:
    graph = flux_graph(server)
    graph["other"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["10", 0], "filename_prefix": "contract/other"},
    }

    run = server.run(graph, partial_execution_targets=["other"])

    assert list(run.history["outputs"]) == ["other"]


def test_the_queue_shows_what_runs_and_what_waits_in_order(server: Server) -> None:
    slow = flux_graph(server, steps=200)
    client_id = uuid.uuid4().hex
    with server.socket(client_id) as socket:
        running = server.prompt(slow, client_id=client_id).json()["prompt_id"]
        socket.until("progress", node="9")
        last = server.prompt(flux_graph(server)).json()["prompt_id"]
        first = server.prompt(flux_graph(server), front=True).json()["prompt_id"]
        queue = server.get("/queue").json()
        assert [row[1] for row in queue["queue_running"]] == [running]
        assert [row[1] for row in queue["queue_pending"]] == [first, last]
        number, _, graph, extra, outputs = queue["queue_running"][0]
        assert isinstance(number, int)
        assert graph == slow
        assert set(extra) == {"client_id", "create_time"}
        assert outputs == ["save"]
        server.post("/interrupt", {"prompt_id": running})
    for prompt_id in (running, first, last):
        server.finished(prompt_id)


def test_a_deleted_pending_prompt_is_told_to_nobody(server: Server) -> None:
    client_id = uuid.uuid4().hex
    with server.socket(client_id) as socket:
        slow = flux_graph(server, steps=100)
        running = server.prompt(slow, client_id=client_id).json()["prompt_id"]
        gone = server.prompt(flux_graph(server), client_id=client_id).json()["prompt_id"]
        socket.until("progress", node="9")
        assert server.post("/queue", {"delete": [gone, running, "unknown"]}).status_code == 200
        frames = [*socket.until_end(running), *socket.drained()]

    assert gone not in {frame["data"].get("prompt_id") for frame in frames}
    assert server.history(gone) == {}
    assert server.history(running)["status"]["status_str"] == "success"


def test_clearing_the_queue_leaves_what_runs(server: Server) -> None:
    client_id = uuid.uuid4().hex
    with server.socket(client_id) as socket:
        running = server.prompt(flux_graph(server, steps=100), client_id=client_id).json()
        server.prompt(flux_graph(server), client_id=client_id)
        socket.until("progress", node="9")
        server.post("/queue", {"clear": True})
        assert server.get("/queue").json()["queue_pending"] == []
        socket.until_end(running["prompt_id"])


def test_history_keeps_prompt_outputs_status_and_meta(server: Server) -> None:
    graph = flux_graph(server)
    run = server.run(graph, extra_data={"mine": 1})

    entry = run.history

    assert set(entry) == {"prompt", "outputs", "status", "meta"}
    _, prompt_id, kept, extra, outputs = entry["prompt"]
    assert (prompt_id, kept, outputs) == (run.prompt_id, graph, ["save"])
    assert extra["mine"] == 1
    assert [name for name, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert entry["meta"] == {
        "save": {
            "node_id": "save",
            "display_node": "save",
            "parent_node": None,
            "real_node_id": "save",
        }
    }


def test_history_gives_the_newest_and_forgets_on_request(server: Server) -> None:
    first, second = (server.run(flux_graph(server)).prompt_id for _ in range(2))
    assert list(server.get("/history", max_items=1).json()) == [second]
    assert list(server.get("/history", max_items=2).json()) == [first, second]

    server.post("/history", {"delete": [first]})

    assert server.get(f"/history/{first}").json() == {}
    assert server.get(f"/history/{second}").json() != {}
    assert server.get("/history/none").json() == {}


@pytest.mark.parametrize(
    "nodes",
    [
        {"9": None},
        {"9": 7},
        {"9": "text"},
        {"nodes": [], "links": []},
        {"9": {"class_type": "SaveImage", "inputs": None}},
        {"9": {"class_type": ["SaveImage"], "inputs": {}}},
        {"9": {"class_type": "NoSuchNode", "inputs": {}, "_meta": None}},
        {"9": {"class_type": "NoSuchNode", "inputs": {}}, "10": None},
    ],
)
def test_a_node_that_is_no_object_is_a_plain_500(server: Server, nodes: dict[str, Any]) -> None:
    assert server.prompt(nodes).status_code == 500


def test_a_node_that_has_a_title_is_told_by_it(server: Server) -> None:
    node = {"class_type": "NoSuchNode", "inputs": {}, "_meta": {"title": "My node"}}

    error, _ = refused(server.prompt({"9": node}))

    assert error["message"] == "Node 'My node' not found. The custom node may not be installed."
    assert error["extra_info"] == {
        "node_id": "9",
        "class_type": "NoSuchNode",
        "node_title": "My node",
    }


def test_an_infinite_number_is_beyond_the_largest(server: Server) -> None:
    _, node_errors = refused(server.prompt(changed(flux_graph(server), "9", denoise="inf")))

    assert only_problem(node_errors, "9")["type"] == "value_bigger_than_max"


def failure(server: Server, graph: dict[str, Any]) -> dict[str, Any]:
    """What history says of a prompt that is accepted and ends in an error."""
    reply = server.prompt(graph)
    assert reply.status_code == 200, reply.text
    messages = server.finished(reply.json()["prompt_id"])["status"]["messages"]
    [found] = [data for kind, data in messages if kind == "execution_error"]
    return dict(found)


@pytest.mark.parametrize(
    ("node", "inputs", "exception"),
    [
        ("10", {"vae": None}, "AttributeError"),
        ("10", {"vae": "x"}, "AttributeError"),
        ("10", {"extra": ["1", 0]}, "TypeError"),
        ("save", {"filename_prefix": "../../x"}, "Exception"),
    ],
)
def test_a_node_that_cannot_run_ends_the_prompt(
    server: Server, node: str, inputs: dict[str, Any], exception: str
) -> None:
    graph = flux_graph(server)
    graph[node]["inputs"] |= inputs
    found = failure(server, graph)

    assert (found["node_id"], found["exception_type"]) == (node, exception)


def test_values_reach_the_node_in_the_type_of_their_input(server: Server) -> None:
    graph = changed(flux_graph(server), "9", steps={"__value__": "2"}, seed=7.9)
    prompt_id = server.prompt(graph).json()["prompt_id"]
    ran = server.finished(prompt_id)["prompt"][2]

    assert (ran["9"]["inputs"]["steps"], ran["9"]["inputs"]["seed"]) == (2, 7)
