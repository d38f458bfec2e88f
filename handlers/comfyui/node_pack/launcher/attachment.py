"""In a fork: what the import decided without a GPU is decided again with it, and looked at.

Nothing here is ours: the statements are ComfyUI's own, run once more where they stand. So a module
holds what it holds after a plain start, or the fork is given up.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

STATEMENTS: Sequence[tuple[str, str]] = (
    ("comfy.model_management", "total_vram = get_total_memory("),
    ("comfy.ops", "SDPA_BACKEND_PRIORITY"),
    ("comfy.ldm.modules.attention", "COMFY_KITCHEN_INT8_ATTENTION_IS_AVAILABLE ="),
    ("comfy.ldm.modules.attention", 'register_attention_function("comfy_kitchen_int8"'),
    ("__main__", "comfy_aimdo.control.init("),
    ("__main__", "comfy_aimdo.control.init_devices("),
)
"""Module, and what stands in that of its top-level statements which looks at the GPU."""
BACKENDS = ("comfy_kitchen.backends.cuda", "comfy_kitchen.backends.triton")
"""Each registers itself when it is imported, if there is a GPU."""
FREE = frozenset(
    {"port", "listen", "cache_classic", "cache_lru", "cache_none", "cache_ram", "disable_metadata"}
)
"""Arguments that are read while ComfyUI runs, and not before: a fork may have others."""
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ATTENTIONS = (
    "use_sage_attention",
    "use_flash_attention",
    "use_split_cross_attention",
    "use_quad_cross_attention",
    "use_ck_attention",
)


class Unlike(Exception):
    """This fork would not be what a plain start is."""


@dataclass(frozen=True)
class Statement:
    """A top-level statement of a module, to be run once more."""

    module: ModuleType
    code: CodeType


def statements() -> Sequence[Statement]:
    """Those of STATEMENTS; found before forking, since parsing takes a second. Raises Unlike."""
    return [statement(sys.modules[name], text) for name, text in STATEMENTS]


def statement(module: ModuleType, text: str) -> Statement:
    """The one top-level statement that `text` stands in, definitions aside. Raises Unlike."""
    file = str(module.__file__)
    source = Path(file).read_text("utf-8")
    at = {number for number, line in enumerate(source.splitlines(), 1) if text in line}
    found = [
        each
        for each in ast.parse(source, file).body
        if not isinstance(each, DEFINITIONS) and at & {*range(each.lineno, _end(each) + 1)}
    ]
    if len(found) != 1:
        raise Unlike(f"{module.__name__} has {len(found)} statements with {text!r}")
    return Statement(module, compile(ast.Module([*found], []), file, "exec"))


def _end(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def attach(again: Sequence[Statement], argv: Sequence[str], imported_with: Sequence[str]) -> None:
    """Makes this fork what a plain start with `argv` is. Raises Unlike."""
    _take_arguments(argv, imported_with)
    for each in again:
        exec(each.code, vars(each.module))
    for name in BACKENDS:
        sys.modules[name]._register()
    _forget_the_hidden_gpu()
    sys.modules["comfy.model_management"].set_cudnn_benchmark()
    if found := list(unlike()):
        raise Unlike("; ".join(found))


def _take_arguments(argv: Sequence[str], imported_with: Sequence[str]) -> None:
    cli_args = sys.modules["comfy.cli_args"]
    wanted, there = (vars(cli_args.parser.parse_args([*each])) for each in (argv, imported_with))
    other = {name for name in wanted if wanted[name] != there[name]}
    if frozen := sorted(other - FREE):
        raise Unlike(f"ComfyUI was imported with another {', '.join(frozen)}")
    for name in other:
        setattr(cli_args.args, name, wanted[name])


def _forget_the_hidden_gpu() -> None:
    """comfy_kitchen remembers what GPU it found when it was first asked."""
    vars(sys.modules["comfy_kitchen.registry"].registry).pop("_compute_capability", None)
    sys.modules["comfy_kitchen.tensor.base"].get_cuda_capability.cache_clear()


def unlike() -> Iterator[str]:
    """Where this process, which a server is to run in, is not as a plain start would have it."""
    management = sys.modules["comfy.model_management"]
    cuda = sys.modules["torch"].cuda
    args = sys.modules["comfy.cli_args"].args
    device = management.get_torch_device()
    yield from _unless("the device", device.type, "cpu" if args.cpu else "cuda")
    if cuda.is_available() and cuda.device_count() > 1:
        yield "several GPUs are visible, and nodes offer them since their import"
    memory = management.get_total_memory(device) / (1024 * 1024)
    yield from _unless("total_vram", management.total_vram, memory)
    yield from _unlike_attention(args, management)
    yield from _unlike_backends(cuda.is_available())


def _unlike_attention(args: Any, management: ModuleType) -> Iterator[str]:
    attention = sys.modules["comfy.ldm.modules.attention"]
    if management.is_nvidia() and not any(getattr(args, each, False) for each in ATTENTIONS):
        told = attention.optimized_attention.__name__
        yield from _unless("the attention", told, "attention_pytorch")
    if management.is_nvidia():
        ordered = hasattr(sys.modules["comfy.ops"], "SDPA_BACKEND_PRIORITY")
        yield from _unless("an order of attention kernels", ordered, True)


def _unlike_backends(gpu: bool) -> Iterator[str]:
    backends = sys.modules["comfy_kitchen"].list_backends()
    with_extension = sys.modules["comfy_kitchen.backends.cuda"]._EXT_AVAILABLE
    registered = backends.get("cuda", {}).get("available", False)
    yield from _unless("comfy_kitchen's CUDA backend", registered, gpu and with_extension)


def _unless(what: str, found: object, wanted: object) -> Iterable[str]:
    return () if found == wanted else (f"{what} is {found!r} and not {wanted!r}",)
