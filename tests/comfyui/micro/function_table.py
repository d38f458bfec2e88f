"""A custom node that tells which functions and values ComfyUI's modules hold, to see whether a
function was replaced, and whether a process is as another.

It needs nothing but Python, so that it can be tested outside of ComfyUI.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

OWN = frozenset(
    {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths"}
    | {"latent_preview", "node_helpers", "nodes", "protocol", "server"}
)
"""Names of ComfyUI's own packages and modules."""
BESIDE = frozenset({"__main__", "app", "comfy_aimdo", "comfy_kitchen", "cuda_malloc", "utils"})
"""What else is looked at where two processes are compared."""


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
        own, beside = modules(OWN), modules(BESIDE)
        process = functions(beside) | values({**own, **beside}) | surroundings()
        return {"ui": {"text": [json.dumps(functions(own))], "process": [json.dumps(process)]}}


def modules(packages: frozenset[str]) -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] in packages and isinstance(module, ModuleType)
    }


def values(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """Where plain data stands -> what it is. Sets and keys in order; of a class its name."""
    return {
        f"{name}.{key}": told
        for name, module in modules.items()
        for key, value in list(vars(module).items())
        if not key.startswith("__") and (told := _plain(value)) is not None
    }


def _plain(value: Any) -> str | None:
    """None for what is no data."""
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if value is None or isinstance(value, bool | int | float | str | bytes | Enum):
        return repr(value)
    if type(value).__module__ == "torch" and type(value).__name__ in {"device", "dtype"}:
        return repr(value)
    if isinstance(value, Mapping):
        return _all(f"{_plain(key)}: {_plain(each)}" for key, each in list(value.items()))
    if isinstance(value, set | frozenset):
        return _all(str(_plain(each)) for each in value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(_plain(each)) for each in value) + "]"
    return None


def _all(told: Iterable[str]) -> str:
    return "{" + ", ".join(sorted(told)) + "}"


def surroundings() -> dict[str, str]:
    """Of the process: environment, paths, arguments, switches of torch, backends of kernels."""
    torch, kitchen = sys.modules.get("torch"), sys.modules.get("comfy_kitchen")
    found = {f"environ {name}": value for name, value in os.environ.items()}
    found["paths"] = repr([path for path in sys.path if path])
    if "comfy.cli_args" in sys.modules:
        found |= {
            f"args.{name}": repr(value)
            for name, value in vars(sys.modules["comfy.cli_args"].args).items()
        }
    if torch is not None:
        found["torch.cudnn.benchmark"] = repr(torch.backends.cudnn.benchmark)
        found["torch.threads"] = repr(torch.get_num_threads())
        found["torch.cuda.is_initialized"] = repr(torch.cuda.is_initialized())
        found |= functions({"torch.cuda": torch.cuda})
    if kitchen is not None:
        found |= {f"kitchen {k}": repr(v) for k, v in kitchen.list_backends().items()}
    return found


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
