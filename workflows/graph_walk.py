"""The walk of a validation: from the output nodes up, each input of each node that they need."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from workflows.input_checks import check_value, declaration, finalized, missing, types_meet
from workflows.interfaces import DYNAMIC_COMBO, ENUM, FILE, InputSpec, Interfaces, NodeInterface
from workflows.validation_result import NodeProblems, Problem, ValidationResult

Files = Mapping[str, Collection[str]]
"""Models folder (or `input`) -> the file names in it."""

_OWN_FILE_CHECK = {"LoadImage", "LoadImageMask"}
"""Classes that look for their input file themselves instead of offering a list."""


class _BrokenNodeError(Exception):
    """Something in a node that ComfyUI meets as a bare Python exception."""

    def __init__(self, text: str, exception_type: str) -> None:
        super().__init__(text)
        self.exception_type = exception_type


class GraphWalk:
    """One depth-first pass from the output nodes up. Each node is checked once."""

    def __init__(self, graph: Mapping[str, Any], interfaces: Interfaces, files: Files) -> None:
        self._graph = graph
        self._interfaces = interfaces
        self._files = files
        self._found: dict[str, tuple[bool, list[Problem]]] = {}
        """Node -> whether it and all before it are valid, and its own problems."""
        self._open: list[str] = []
        """The path from an output node to the one that is looked at."""

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
            self._found |= self._cycle(self._open[self._open.index(node_id) :])
            return False
        self._open.append(node_id)
        try:
            valid, problems = self._check(node_id)
        finally:
            self._open.pop()
        before, cycles = self._found.get(node_id, (True, []))
        self._found[node_id] = (before and valid and not problems, [*cycles, *problems])
        return self._found[node_id][0]

    def _cycle(self, nodes: list[str]) -> dict[str, tuple[bool, list[Problem]]]:
        """What each node of a cycle is told. Its own problems come behind that, once it is known
        whether it has any."""
        path = " -> ".join(
            f"{node_id} ({self._graph[node_id]['class_type']})" for node_id in [*nodes, nodes[0]]
        )
        message = "Dependency cycle detected"
        return {
            node_id: (
                False,
                [
                    Problem(
                        "dependency_cycle",
                        message,
                        path,
                        {"node_id": node_id, "cycle_nodes": nodes},
                    )
                ],
            )
            for node_id in nodes
        }

    def _check(self, node_id: str) -> tuple[bool, list[Problem]]:
        node = self._graph[node_id]
        interface = self._interfaces.nodes[node["class_type"]]
        if "inputs" not in node:
            raise _BrokenNodeError("'inputs'", "KeyError")
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
