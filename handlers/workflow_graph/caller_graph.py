"""A caller's graph: whether it has the right form, is made of what is allowed, and as a `Graph`."""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from config.errors import GraphRejected, MissingModel, NsfwNotAllowed
from config.models import ModelTable, WeightFile
from config.nearest import nearest
from handlers.kinds.checkpoint import uncensored_alone
from handlers.workflow_graph.allow_list import allow_list
from workflows.graph import Graph, Link, Node
from workflows.interfaces import committed

MAX_NODES = 200
"""Of one graph."""
MAX_TEXT = 8000
"""Characters of one input."""
PROMPT, SEED = "{{prompt}}", "{{seed}}"
"""An input that is exactly this is given the job's prompt or seed."""

_ID = re.compile(r"[A-Za-z0-9_:.-]{1,64}")
_EXPORT = (
    "this is the form in which ComfyUI's editor keeps a graph: choose Workflow, Export (API) there,"
    " and send that file"
)
_SDXL_ONLY = ("ApplyInstantID", "ApplyInstantIDAdvanced", "InstantIDAttentionPatch")
_SHOW = ("PreviewImage", "SaveImageWebsocket")
_DRIVING = ("checkpoints", "diffusion_models")
"""Folders of the models that sample."""

Api = Mapping[str, Any]
"""Node id → {"class_type", "inputs"}, as the caller gave it."""


def check_form(workflow: Api) -> None:
    """Raises ValueError unless it is a graph in API format, of a size that is taken."""
    if isinstance(workflow.get("nodes"), list):
        raise ValueError(_EXPORT)
    if not 0 < len(workflow) <= MAX_NODES:
        raise ValueError(f"a graph has 1 to {MAX_NODES} nodes, this one has {len(workflow)}")
    for node_id, node in workflow.items():
        if not _ID.fullmatch(node_id):
            raise ValueError(f"{node_id[:80]!r} is no node id: letters, digits and _ : . - are")
        _check_node(node_id, node)


def _check_node(node_id: str, node: Any) -> None:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
        raise ValueError(f"node {node_id} has no class_type: is this ComfyUI's API format?")
    inputs = node.get("inputs")
    if not isinstance(inputs, dict):
        raise ValueError(f"node {node_id} has no inputs")
    for name, value in inputs.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ValueError(f"{node_id}.{name} has more than {MAX_TEXT} characters")
        if not (isinstance(value, str | int | float | None) or is_link(value)):
            raise ValueError(f"{node_id}.{name} is neither a plain value nor a link to a node")


def is_link(value: Any) -> bool:
    """Whether a value is [node id, number of its output]."""
    match value:
        case [str(), bool()]:
            return False
        case [str(), int(output)]:
            return output >= 0
    return False


def has(workflow: Api, placeholder: str) -> bool:
    """Whether an input of a node is exactly this placeholder."""
    return any(value == placeholder for _, _, value in _inputs(workflow))


def texts(workflow: Api, prompt: str | None) -> list[str]:
    """What each node says, for the check of prompts."""
    said: dict[str, list[str]] = {}
    for node_id, _, value in _inputs(workflow):
        if isinstance(value, str):
            said.setdefault(node_id, []).append((prompt or "") if value == PROMPT else value)
    return [" ".join(each) for each in said.values()]


def images(workflow: Api) -> set[str]:
    """The names under which its nodes load pictures."""
    loads = allow_list().images
    return {
        str(value)
        for node_id, name, value in _inputs(workflow)
        if loads.get(workflow[node_id]["class_type"]) == name
    }


def admit(workflow: Api, models: ModelTable, *, nsfw: bool) -> Mapping[str, str | None]:
    """Weight file → its sha256 by models.toml, of all that the graph loads.

    Raises GraphRejected for a node or a value that is not taken, MissingModel for a file that
    models.toml lacks, NsfwNotAllowed for the uncensored checkpoint without `nsfw`.
    """
    rows: dict[tuple[str, str], WeightFile] = {}
    allowed = allow_list()
    for node_id, node in workflow.items():
        class_type = node["class_type"]
        if not allowed.allows(class_type):
            raise _not_allowed(node_id, class_type)
        for name, folder in allowed.weights.get(class_type, {}).items():
            given = node["inputs"].get(name)
            rows[node_id, name] = _weight(node_id, name, given, folder, models)
    _check_saver(workflow)
    _check_limits(workflow)
    _check_packs(workflow)
    _check_instantid(workflow, rows)
    if not nsfw and {row.name for row in rows.values()} & uncensored_alone(models):
        raise NsfwNotAllowed(
            "the graph names the uncensored checkpoint, and nsfw is not set",
            field="input.nsfw",
            hint="Set nsfw: true, for a tenant that may.",
        )
    return {row.file: row.sha256 for row in rows.values()}


def build(
    workflow: Api,
    values: Mapping[str, Any],
    names: Mapping[str, str],
    models: ModelTable,
    prefix: str,
) -> Graph:
    """As it is run: placeholders filled from `values`, pictures called by `names`, weights by the
    files in use, every file saved under `prefix`.

    Raises GraphRejected for a link to nowhere or links in a circle, MissingModel.
    """
    allowed = allow_list()
    graph = Graph()
    for node_id in _in_order(workflow):
        node = workflow[node_id]
        class_type = node["class_type"]
        inputs = {name: _filled(value, values) for name, value in node["inputs"].items()}
        if class_type in allowed.saves:
            inputs["filename_prefix"] = f"{prefix}/{len(graph)}"
        if class_type in allowed.images:
            name = allowed.images[class_type]
            inputs[name] = names.get(str(inputs.get(name)), inputs.get(name))
        for name, folder in allowed.weights.get(class_type, {}).items():
            inputs[name] = _weight(node_id, name, inputs.get(name), folder, models).file
        graph.add(class_type, id=node_id, **inputs)
    return graph


def running(workflow: Api) -> list[Node]:
    """The nodes that an output needs, each behind those that it is linked to; ComfyUI runs no
    other. Raises GraphRejected as `build` does."""
    nodes = committed().nodes
    needed: set[str] = set()
    for node_id in reversed(_in_order(workflow)):
        interface = nodes.get(workflow[node_id]["class_type"])
        if node_id in needed or (interface is not None and interface.output_node):
            needed.add(node_id)
            values = workflow[node_id]["inputs"].values()
            needed |= {value[0] for value in values if isinstance(value, list)}
    return [
        Node(
            node_id,
            workflow[node_id]["class_type"],
            {name: _filled(value, {}) for name, value in workflow[node_id]["inputs"].items()},
        )
        for node_id in _in_order(workflow)
        if node_id in needed
    ]


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return Link(value[0], value[1])
    return values.get(value, value) if isinstance(value, str) else value


def _in_order(workflow: Api) -> list[str]:
    before: dict[str, list[str]] = {node_id: [] for node_id in workflow}
    for node_id, name, value in _inputs(workflow):
        if isinstance(value, list):
            if value[0] not in workflow:
                raise GraphRejected(
                    f"{node_id}.{name} is linked to {value[0]!r}, which is not there",
                    field=f"input.workflow.{node_id}",
                )
            before[node_id].append(value[0])
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        raise GraphRejected("its links run in a circle", field="input.workflow") from None


def _inputs(workflow: Api) -> Iterator[tuple[str, str, Any]]:
    for node_id, node in workflow.items():
        for name, value in node["inputs"].items():
            yield node_id, name, value


def _not_allowed(node_id: str, class_type: str) -> GraphRejected:
    return GraphRejected(
        f"nodes of the class {class_type!r} are not taken in a caller's graph",
        field=f"input.workflow.{node_id}",
        value=class_type,
        hint=allow_list().refused.get(
            class_type, "handlers/workflow_graph/allow_list.toml lists the classes that are."
        ),
    )


def _weight(node_id: str, name: str, file: Any, folder: str, models: ModelTable) -> WeightFile:
    rows = [row for row in models.weights_by_name.values() if row.folder == folder]
    known = {row.file: row for row in rows}
    if isinstance(file, str):
        # A caller need not know in which folder the version in use lies.
        called = known.get(file) or next((row for row in rows if row.base_name == file), None)
        if called is not None:
            return called
    meant = nearest(file, known) if isinstance(file, str) else None
    listed = f"Did you mean {meant}? " if meant else ""
    raise MissingModel(
        f"{node_id}.{name}: models.toml lists no such file in {folder}",
        field=f"input.workflow.{node_id}",
        value=file,
        hint=f"{listed}There are: {', '.join(sorted(known)) or 'none'}.",
    )


def _check_saver(workflow: Api) -> None:
    classes = {node["class_type"]: node_id for node_id, node in workflow.items()}
    if classes.keys() & allow_list().saves:
        return
    shown = next((classes[name] for name in _SHOW if name in classes), None)
    if shown is None:
        raise GraphRejected(
            "the graph saves nothing", field="input.workflow", hint="Add a SaveImage node."
        )
    raise GraphRejected(
        f"the graph saves nothing: node {shown} only shows its pictures",
        field=f"input.workflow.{shown}",
        value=workflow[shown]["class_type"],
        hint="Write SaveImage in its place.",
    )


def _check_limits(workflow: Api) -> None:
    for node_id, name, value in _inputs(workflow):
        limit = allow_list().limits.get(name)
        if limit is None:
            continue
        if isinstance(value, str | list | None) or not abs(value) <= limit:
            raise GraphRejected(
                f"{node_id}.{name} must be a number of at most {limit:g}",
                field=f"input.workflow.{node_id}",
                value=value,
            )


def _check_packs(workflow: Api) -> None:
    for node_id, name, value in _inputs(workflow):
        class_type = workflow[node_id]["class_type"]
        found = allow_list().pack_of(class_type)
        if found is not None and name not in found[1].nodes[class_type]:
            raise GraphRejected(
                f"{class_type} is not taken with the input {name!r}",
                field=f"input.workflow.{node_id}",
                value=value,
            )


def _check_instantid(workflow: Api, rows: Mapping[tuple[str, str], WeightFile]) -> None:
    for node_id, node in workflow.items():
        if node["class_type"] not in _SDXL_ONLY:
            continue
        model = _model_of(workflow, node_id, rows)
        if model is not None and model.family != "sdxl":
            raise GraphRejected(
                f"InstantID's weights are made for SDXL and cannot drive {model.file}",
                field=f"input.workflow.{node_id}",
                value=model.family,
                hint="Use the kind flux-instantid, which composes on Flux or Z-Image and brings the"
                " face in by a pass of SDXL.",
            )


def _model_of(
    workflow: Api, node_id: str, rows: Mapping[tuple[str, str], WeightFile]
) -> WeightFile | None:
    """The model that comes in by a node's `model` input, through whatever patches it."""
    for _ in range(len(workflow)):
        link = workflow[node_id]["inputs"].get("model")
        if not is_link(link) or link[0] not in workflow:
            return None
        node_id = link[0]
        for where, row in rows.items():
            if where[0] == node_id and row.folder in _DRIVING:
                return row
    return None
