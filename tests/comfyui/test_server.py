"""What a server says about itself."""

import httpx

from tests.support.comfy_wire import Server
from workflows.interfaces import committed, from_object_info


def test_it_names_its_version_and_device(server: Server) -> None:
    stats = server.get("/system_stats").json()

    assert stats["system"]["comfyui_version"] == committed().comfyui_version
    assert stats["devices"][0]["name"]
    assert stats["system"].get("engine") == (None if server.real else "standin")


def test_its_node_interfaces_are_those_of_the_committed_table(server: Server) -> None:
    live = from_object_info(server.get("/object_info").json(), committed().comfyui_version).nodes

    # Node packs differ from one installation to the next; ComfyUI's own nodes do not.
    own = {
        name: node
        for name, node in committed().nodes.items()
        if not node.module.startswith("custom_nodes.")
    }
    assert set(own) <= set(live)
    assert {name: live[name] for name in own} == own


def test_one_class_can_be_asked_for(server: Server) -> None:
    answer = server.get("/object_info/SaveImage").json()

    assert list(answer) == ["SaveImage"]
    assert answer["SaveImage"]["output_node"] is True
    assert server.get("/object_info/NoSuchNode").json() == {}


def test_models_are_listed_by_folder(server: Server) -> None:
    assert {"checkpoints", "loras", "vae", "diffusion_models"} <= set(server.get("/models").json())
    assert server.flux["vae"] in server.get("/models/vae").json()
    assert server.get("/models/none").status_code == 404


def test_every_route_answers_under_api_too(server: Server) -> None:
    assert server.get("/api/queue").json() == server.get("/queue").json()


def test_features_are_told(server: Server) -> None:
    assert server.get("/features").json()["max_upload_size"] == 100 * 1024 * 1024


def test_a_page_of_another_origin_is_refused(server: Server) -> None:
    foreign = {"Origin": "http://example.com"}

    assert httpx.get(server.url + "/queue", headers=foreign).status_code == 403
    own = {"Origin": server.url}
    assert httpx.get(server.url + "/queue", headers=own).status_code == 200


def test_unknown_paths_are_not_found(server: Server) -> None:
    assert server.get("/nope").status_code == 404
