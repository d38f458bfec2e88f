"""Our client and our kinds against a whole server."""

import uuid
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from config.errors import ComfyTimeout, GraphRejected, NodeFailed, PromptInterrupted
from config.models import load_models
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.prompt import Prompt
from handlers.kinds.base import JobRequest, Kind, PromptRun
from handlers.kinds.flux import FluxDevInput, FluxSchnellInput
from handlers.kinds.registry import KINDS
from tests.comfyui.micro.table import MICRO_MODELS
from tests.support.comfy_wire import Server, changed, flux_graph
from tests.support.graph_runners import GraphStudio
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid

MODELS = load_models(MICRO_MODELS)


def run(server: Server, graph: dict[str, Any], **options: Any) -> PromptRun:
    options.setdefault("deadline_s", 60.0)
    with ComfyClient(server.url) as client:
        return client.run(graph, prompt_id=str(uuid.uuid4()), **options)


class Studio(GraphStudio):
    """Sends the next graph ahead, as a worker does."""

    def __init__(self, client: ComfyClient) -> None:
        self._client = client
        self._next: Prompt | None = None

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        require_valid(graph, committed())
        assert (self._next is not None) == (part > 0)
        sent = self._next or prompt(graph.api())
        self._next = None if then is None else prompt(then.api())
        return self._client.run(sent.graph, prompt_id=sent.id, deadline_s=60.0, then=self._next)


def prompt(graph: dict[str, Any]) -> Prompt:
    return Prompt(graph, str(uuid.uuid4()))


def size_of(body: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(body)) as image:
        image.load()
        return image.size


def test_a_run_brings_the_file_and_says_how_far_it_is(server: Server) -> None:
    heard: list[tuple[float, str | None]] = []

    done = run(
        server,
        flux_graph(server),
        on_progress=lambda fraction, node: heard.append((fraction, node)),
    )

    (file,) = done.files
    assert file.node == "save"
    assert size_of(file.body) == (64, 64)
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "KSampler" in {node for _, node in heard}
    assert done.timings.sampling > 0


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("flux-dev", FluxDevInput(prompt="a cat", width=256, height=256, steps=2, num_images=2)),
        ("flux-schnell", FluxSchnellInput(prompt="a cat", width=256, height=272, steps=1)),
    ],
)
def test_each_kind_makes_its_pictures(
    server: Server, model: str, asked: FluxDevInput | FluxSchnellInput
) -> None:
    kind: Kind[Any] = KINDS[model]
    job = JobRequest(job_id=uuid.uuid4().hex, attempt=1, input=asked, seed=7)

    with ComfyClient(server.url) as client:
        images = list(kind.run(job, MODELS, Studio(client)))

    assert len(images) == asked.num_images
    assert {size_of(each.body) for each in images} == {(asked.width, asked.height)}
    assert len({each.body for each in images}) == len(images)
    assert len({each.name for each in images}) == len(images)


def test_the_same_brief_makes_the_same_pictures_on_another_attempt(server: Server) -> None:
    request = FluxDevInput(prompt="a cat", width=256, height=256, steps=1)
    kind = KINDS["flux-dev"]
    pixels = []
    for attempt in (1, 2):
        job = JobRequest(job_id="again", attempt=attempt, input=request, seed=11)
        with ComfyClient(server.url) as client:
            (picture,) = kind.run(job, MODELS, Studio(client))
        with Image.open(BytesIO(picture.body)) as image:
            pixels.append(image.convert("RGB").tobytes())

    assert pixels[0] == pixels[1]


def test_a_dropped_output_is_a_rejected_graph_and_not_a_success(server: Server) -> None:
    graph = flux_graph(server)
    graph["bad"] = {"class_type": "SaveImage", "inputs": {"images": ["10", 0]}}

    with pytest.raises(GraphRejected, match="filename_prefix"):
        run(server, graph)


def test_a_missing_model_file_is_a_rejected_graph(server: Server) -> None:
    with pytest.raises(GraphRejected, match=r"nope\.safetensors"):
        run(server, changed(flux_graph(server), "1", unet_name="nope.safetensors"))


def test_a_node_that_fails_is_named(server: Server) -> None:
    with pytest.raises(NodeFailed, match="SaveImage"):
        run(server, changed(flux_graph(server), "save", filename_prefix="../outside"))


def test_a_run_that_should_stop_is_interrupted(server: Server) -> None:
    heard: list[float] = []

    with pytest.raises(PromptInterrupted):
        run(
            server,
            flux_graph(server, steps=400),
            on_progress=lambda fraction, _: heard.append(fraction),
            should_stop=lambda: len(heard) > 3,
        )

    assert server.get("/queue").json()["queue_running"] == []


def test_a_run_past_its_deadline_is_interrupted(server: Server) -> None:
    with pytest.raises(ComfyTimeout):
        run(server, flux_graph(server, steps=2000), deadline_s=1.0)

    assert server.get("/queue").json()["queue_running"] == []


def test_a_socket_that_a_prompt_ended_over_tells_of_the_next_one(server: Server) -> None:
    with ComfyClient(server.url) as client:
        assert not client.is_in_touch()
        for _ in range(2):
            done = client.run(flux_graph(server), prompt_id=str(uuid.uuid4()), deadline_s=60.0)
            assert len(done.files) == 1
            assert client.is_in_touch()


def test_what_was_sent_ahead_does_not_run_once_the_prompt_before_it_is_stopped(
    server: Server,
) -> None:
    heard: list[float] = []
    ahead = prompt(flux_graph(server, steps=400))

    with ComfyClient(server.url) as client:
        with pytest.raises(PromptInterrupted):
            client.run(
                flux_graph(server, steps=400),
                prompt_id=str(uuid.uuid4()),
                deadline_s=60.0,
                on_progress=lambda fraction, _: heard.append(fraction),
                should_stop=lambda: len(heard) > 3,
                then=ahead,
            )
        assert not client.is_ahead(ahead.id)

    queue = server.get("/queue").json()
    assert (queue["queue_running"], queue["queue_pending"]) == ([], [])
    assert server.get(f"/history/{ahead.id}").json() == {}


def test_an_equal_graph_with_an_equal_prefix_still_brings_its_file(server: Server) -> None:
    graph = flux_graph(server)
    first = run(server, graph)

    again = run(server, graph)

    assert again.files[0].body == first.files[0].body
    assert again.timings.sampling == 0


def test_an_uploaded_picture_can_be_named_in_a_graph(server: Server) -> None:
    buffer = BytesIO()
    Image.new("RGB", (24, 16), (1, 2, 3)).save(buffer, "PNG")
    with ComfyClient(server.url) as client:
        name = client.upload_image(buffer.getvalue(), f"{uuid.uuid4().hex}.png")
    graph = {
        "load": {"class_type": "LoadImage", "inputs": {"image": name}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["load", 0], "filename_prefix": "contract/upload"},
        },
    }

    assert size_of(run(server, graph).files[0].body) == (24, 16)
