"""What validation finds, in the form of ComfyUI's answer to POST /prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One entry of a node's `errors`."""

    type: str
    """ComfyUI's, such as `value_not_in_list`; clients tell errors apart by it."""
    message: str
    details: str
    extra_info: Mapping[str, Any] = field(default_factory=dict)

    def api(self) -> dict[str, Any]:
        """As ComfyUI answers it."""
        return {
            "type": self.type,
            "message": self.message,
            "details": self.details,
            "extra_info": dict(self.extra_info),
        }


@dataclass(frozen=True)
class NodeProblems:
    node: str
    """Its id."""
    class_type: str
    problems: tuple[Problem, ...]
    dependent_outputs: tuple[str, ...]
    """Ids of the output nodes that do not run for it."""


@dataclass(frozen=True)
class ValidationResult:
    """What ComfyUI would say to a graph."""

    good_outputs: tuple[str, ...]
    """Ids of the output nodes that would run. The prompt is accepted as soon as there is one."""
    error: Problem | None
    """Why the whole prompt is refused."""
    nodes: tuple[NodeProblems, ...] = ()

    @property
    def node_errors(self) -> dict[str, Any]:
        """In the form of the /prompt reply."""
        return {
            row.node: {
                "errors": [problem.api() for problem in row.problems],
                "dependent_outputs": list(row.dependent_outputs),
                "class_type": row.class_type,
            }
            for row in self.nodes
        }
