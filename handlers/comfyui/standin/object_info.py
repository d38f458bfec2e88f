"""The interface table in the form of a live server's /object_info."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflows.interfaces import DYNAMIC_COMBO, ENUM, FILE, InputSpec, NodeInterface

FileLists = Mapping[str, Sequence[str]]
"""Models folder (or `input`) -> names."""


def object_info(node: NodeInterface, files: FileLists) -> dict[str, Any]:
    groups = {"required": node.required, "optional": node.optional}
    inputs: dict[str, Any] = {
        group: {name: _spec(node, name, spec, files) for name, spec in specs.items()}
        for group, specs in groups.items()
        if specs
    }
    if node.hidden:
        inputs["hidden"] = {name: name.upper() for name in node.hidden}
    return {
        "input": inputs,
        "input_order": {group: list(specs) for group, specs in inputs.items()},
        "output": list(node.output),
        "output_is_list": list(node.output_is_list) or [False] * len(node.output),
        "output_name": list(node.output),
        "name": node.name,
        "display_name": node.name,
        "description": "",
        "python_module": node.module,
        "category": "",
        "output_node": node.output_node,
        "input_is_list": node.is_input_list,
        "experimental": node.experimental,
        "deprecated": node.deprecated,
    }


def _spec(node: NodeInterface, name: str, spec: InputSpec, files: FileLists) -> list[Any]:
    kind: Any = spec.type
    if spec.type == ENUM:
        kind = list(spec.enum)
    elif spec.type == FILE:
        folder = node.folder(name)
        kind = [*sorted(files.get(folder, ())), *spec.builtin] if folder else []
    options = {
        key: getattr(spec, key)
        for key in ("default", "min", "max", "step")
        if getattr(spec, key) is not None
    }
    if spec.force_input:
        options["forceInput"] = True
    if spec.template is not None:
        options["template"] = dict(spec.template)
    if spec.type == DYNAMIC_COMBO:
        options["options"] = [
            {
                "key": option.key,
                "inputs": {
                    group: {inner: _spec(node, inner, each, files) for inner, each in specs.items()}
                    for group, specs in (
                        ("required", option.required),
                        ("optional", option.optional),
                    )
                },
            }
            for option in spec.options
        ]
    return [kind, options]
