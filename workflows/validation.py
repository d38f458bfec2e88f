"""Whether a graph fits the node interfaces: ComfyUI's own checks, made before anything is sent.

The errors, their types, texts and grouping are those of ComfyUI's POST /prompt, so that our own
refusal reads like the server's, and the stand-in server can answer with them.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from config.errors import GraphRejected, NodeMissing
from workflows.execution_checks import failures
from workflows.graph import Graph
from workflows.input_checks import check_value, declaration, finalized, missing, types_meet
from workflows.interfaces import DYNAMIC_COMBO, ENUM, FILE, InputSpec, Interfaces, NodeInterface
from workflows.required_nodes import why_missing
from workflows.validation_result import NodeProblems, Problem, ValidationResult

Files = Mapping[str, Collection[str]]
"""Models folder (or `input`) -> the file names in it."""

_OWN_FILE_CHECK = {"LoadImage", "LoadImageMask"}
"""Classes that look for their input file themselves instead of offering a list."""


def validate(
    graph: Mapping[str, Any],
    interfaces: Interfaces,
    files: Files | None = None,
    targets: Collection[str] | None = None,
) -> ValidationResult:
    """Check a graph in API format. File names are checked in the folders that `files` names.

    Of several output nodes only `targets` count, when given.
    """
    refused = _refused_as_a_whole(graph, interfaces)
    if refused is not None:
        return ValidationResult((), refused)
    outputs = [
        node_id
        for node_id, node in graph.items()
        if interfaces.nodes[node["class_type"]].output_node
        and (targets is None or node_id in targets)
    ]
    if not outputs:
        return ValidationResult((), Problem("prompt_no_outputs", "Prompt has no outputs", ""))
    return _Walk(graph, interfaces, files or {}).outputs(outputs)


def require_valid(
    graph: Graph,
    interfaces: Interfaces,
    files: Files | None = None,
    lacking: Mapping[str, str] | None = None,
) -> None:
    """Raise NodeMissing for a class that the table lacks, GraphRejected for any other problem.

    `lacking` has hints for classes that a server may well lack.
    """
    api = graph.api()
    for node in graph:
        if node.class_type not in interfaces.nodes:
            raise NodeMissing(
                f"ComfyUI {interfaces.comfyui_version} has no node class {node.class_type!r}",
                field=node.id,
                value=node.class_type,
                hint=(lacking or {}).get(node.class_type)
                or why_missing(node.class_type, interfaces.comfyui_version),
            )
    verdict = validate(api, interfaces, files)
    if verdict.error is None and not verdict.nodes:
        _require_runnable(api, verdict.good_outputs, interfaces)
        return
    said = [
        f"{row.class_type} #{row.node}: {problem.message}: {problem.details}"
        for row in verdict.nodes
        for problem in row.problems
    ]
    message = verdict.error.message if verdict.error is not None else "a node does not validate"
    raise GraphRejected("; ".join(said) or message, value=verdict.node_errors or None)


def _require_runnable(
    graph: Mapping[str, Any], outputs: Collection[str], interfaces: Interfaces
) -> None:
    """Raises GraphRejected for what ComfyUI would accept, and fail on."""
    for node_id in _running(graph, outputs):
        for failure in failures(graph, node_id, interfaces):
            raise GraphRejected(
                failure.message, field=node_id, value=failure.value, hint=failure.hint
            )


def _running(graph: Mapping[str, Any], outputs: Collection[str]) -> list[str]:
    """The nodes that the outputs need, themselves included."""
    found = dict.fromkeys(outputs)
    waiting = list(found)
    while waiting:
        for value in graph[waiting.pop()]["inputs"].values():
            if isinstance(value, list) and value[0] in graph and value[0] not in found:
                found[value[0]] = None
                waiting.append(value[0])
    return list(found)


def _refused_as_a_whole(graph: Mapping[str, Any], interfaces: Interfaces) -> Problem | None:
    for node_id, node in graph.items():
        where = f"Node ID '#{node_id}'"
        if not isinstance(node, dict) or "class_type" not in node:
            message = "Cannot execute because a node is missing the class_type property."
            return Problem("invalid_prompt", message, where)
        if node["class_type"] not in interfaces.nodes:
            message = f"Cannot execute because node {node['class_type']} does not exist."
            return Problem("invalid_prompt", message, where)
    return None


class _BrokenNodeError(Exception):
    """Something in a node that ComfyUI meets as a bare Python exception."""

    def __init__(self, text: str, exception_type: str) -> None:
        super().__init__(text)
        self.exception_type = exception_type


class _Walk:
    """One depth-first pass from the output nodes up. Each node is checked once."""

    def __init__(self, graph: Mapping[str, Any], interfaces: Interfaces, files: Files) -> None:
        self._graph = graph
        self._interfaces = interfaces
        self._files = files
        self._found: dict[str, tuple[bool, list[Problem]]] = {}
        """Node -> whether it and all before it are valid, and its own problems."""
        self._open: set[str] = set()

    def outputs(self, outputs: list[str]) -> ValidationResult:
        good: list[str] = []
        details: list[str] = []
        dependents: dict[str, list[str]] = {}
        for output in outputs:
            if self._output(output):
                good.append(output)
                continue
            details += [f"{p.message}: {p.details}" for p in self._found[output][1]]
            for node_id, (valid, problems) in self._found.items():
                if not valid and problems:
                    dependents.setdefault(node_id, []).append(output)
        rows = tuple(
            NodeProblems(
                node_id,
                self._graph[node_id]["class_type"],
                tuple(self._found[node_id][1]),
                tuple(concerned),
            )
            for node_id, concerned in dependents.items()
        )
        error = None
        if not good:
            error = Problem(
                "prompt_outputs_failed_validation",
                "Prompt outputs failed validation",
                "\n".join(details),
            )
        return ValidationResult(tuple(good), error, rows)

    def _output(self, output: str) -> bool:
        try:
            return self._node(output)
        except _BrokenNodeError as broken:
            extra = {"exception_type": broken.exception_type, "traceback": []}
            problem = Problem(
                "exception_during_validation",
                "Exception when validating node",
                str(broken),
                extra,
            )
            self._found[output] = (False, [problem])
            return False

    def _node(self, node_id: str) -> bool:
        if node_id in self._found:
            return self._found[node_id][0]
        if node_id in self._open:
            return False  # a cycle: ComfyUI refuses it too, and names no node
        self._open.add(node_id)
        try:
            valid, problems = self._check(node_id)
        finally:
            self._open.discard(node_id)
        valid = valid and not problems
        self._found[node_id] = (valid, problems)
        return valid

    def _check(self, node_id: str) -> tuple[bool, list[Problem]]:
        node = self._graph[node_id]
        interface = self._interfaces.nodes[node["class_type"]]
        if "inputs" not in node:
            raise _BrokenNodeError("'inputs'", "KeyError")
        if node["inputs"] is None:
            raise _BrokenNodeError("argument of type 'NoneType' is not iterable", "TypeError")
        inputs = node["inputs"]
        valid = True
        problems: list[Problem] = []
        own_check: list[Problem] = []
        for name, spec, required in finalized(interface, inputs):
            if name not in inputs:
                if required:
                    problems.append(missing(name))
                continue
            value = inputs[name]
            choices = self._choices(interface, name, spec)
            if isinstance(value, list):
                problem, before = self._link(name, spec, value, choices)
                valid = valid and before
            elif interface.name in _OWN_FILE_CHECK and spec.type == FILE:
                own_check += self._own_file_check(name, value)
                continue
            else:
                problem = check_value(name, spec, value, choices)
            if problem is not None:
                problems.append(problem)
        return valid, problems + own_check

    def _link(
        self, name: str, spec: InputSpec, link: list[Any], choices: list[Any] | None
    ) -> tuple[Problem | None, bool]:
        """The link's own problem, and whether what it leads to is valid."""
        config = declaration(spec, choices)
        if len(link) != 2:
            problem = Problem(
                "bad_linked_input",
                "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                name,
                {"input_name": name, "input_config": config, "received_value": link},
            )
            return problem, True
        source, slot = link
        received = self._received(source, slot)
        if not types_meet(received, spec.type):
            problem = Problem(
                "return_type_mismatch",
                "Return type mismatch between linked nodes",
                f"{name}, received_type({received}) mismatch input_type({config[0]})",
                {
                    "input_name": name,
                    "input_config": config,
                    "received_type": received,
                    "linked_node": link,
                },
            )
            return problem, True
        try:
            return None, self._node(source)
        except _BrokenNodeError as broken:
            # Filed under the node that broke, which is the consumer of a link to nowhere.
            extra = {
                "input_name": name,
                "input_config": config,
                "exception_message": str(broken),
                "exception_type": broken.exception_type,
                "traceback": [],
                "linked_node": link,
            }
            problem = Problem(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(broken),
                extra,
            )
            self._found[source] = (False, [problem])
            return None, False

    def _received(self, source: Any, slot: Any) -> str:
        try:
            class_type = self._graph[source]["class_type"]
        except (KeyError, TypeError):
            raise _BrokenNodeError(repr(source), "KeyError") from None
        outputs = self._interfaces.nodes[class_type].output
        try:
            received: str = outputs[slot]
            return received
        except IndexError:
            raise _BrokenNodeError("tuple index out of range", "IndexError") from None
        except TypeError:
            text = f"tuple indices must be integers or slices, not {type(slot).__name__}"
            raise _BrokenNodeError(text, "TypeError") from None

    def _choices(self, interface: NodeInterface, name: str, spec: InputSpec) -> list[Any] | None:
        """The values that an input takes, or None when any will do."""
        if spec.type == ENUM:
            return list(spec.enum)
        if spec.type == DYNAMIC_COMBO:
            return [option.key for option in spec.options]
        folder = interface.folder(name) if spec.type == FILE else None
        if folder is None or folder not in self._files:
            return None
        return [*sorted(self._files[folder]), *spec.builtin]

    def _own_file_check(self, name: str, value: Any) -> Iterator[Problem]:
        names = self._files.get("input")
        if not isinstance(value, str):
            kind = type(value).__name__
            raise _BrokenNodeError(f"{kind!r} object has no attribute 'endswith'", "AttributeError")
        if names is not None and value not in names:
            details = f"{name} - Invalid image file: {value}"
            message = "Custom validation failed for node"
            yield Problem("custom_validation_failed", message, details, {"input_name": name})
