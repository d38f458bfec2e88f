"""A custom node that tells which functions ComfyUI's modules hold, to see whether one was replaced.

It needs nothing but Python, so that it can be tested outside of ComfyUI.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

OWN = frozenset(
    {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths"}
    | {"latent_preview", "node_helpers", "nodes", "protocol", "server"}
)
"""Names of ComfyUI's own packages and modules."""


class MicroFunctionTable:
    CATEGORY = "micro"
    OUTPUT_NODE = True
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "told"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        return {"required": {"after": ("*",)}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: Any) -> bool:  # noqa: N802
        return True  # of whatever type

    def told(self, after: Any) -> dict[str, Any]:
        """`after` is what must have run before."""
        return {"ui": {"text": [json.dumps(functions(comfyui_modules()))]}}


def comfyui_modules() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] in OWN and isinstance(module, ModuleType)
    }


def functions(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """Where a function stands -> which one it is: its name, its file, and a digest of its code."""
    return {
        place: _told(function)
        for name, module in modules.items()
        for place, function in _held(name, vars(module))
    }


def _held(name: str, members: Mapping[str, Any]) -> Iterator[tuple[str, FunctionType]]:
    for key, value in list(members.items()):
        place = f"{name}.{key}"
        if isinstance(value, type) and value.__module__.partition(".")[0] in OWN:
            for own, member in list(vars(value).items()):
                yield from _unwrapped(f"{place}.{own}", member)
        else:
            yield from _unwrapped(place, value)


def _unwrapped(place: str, value: Any) -> Iterator[tuple[str, FunctionType]]:
    if isinstance(value, staticmethod | classmethod | MethodType):
        value = value.__func__
    parts: Iterable[Any] = (value,)
    if isinstance(value, property):
        parts = (value.fget, value.fset, value.fdel)
    yield from ((place, part) for part in parts if isinstance(part, FunctionType))


def _told(function: FunctionType) -> str:
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}"
    return f"{function.__module__} {code.co_qualname} {where} {_digest(code)}"


def _digest(code: CodeType) -> str:
    """Of the code itself, since names and lines can be copied."""
    inner = [_digest(each) for each in code.co_consts if isinstance(each, CodeType)]
    told = (code.co_code.hex(), code.co_names, code.co_varnames, inner)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


NODE_CLASS_MAPPINGS = {"MicroFunctionTable": MicroFunctionTable}
