"""Whether an adapter's tensors have the shapes with which ComfyUI 0.33.0 can apply it to a layer.

Convolutions count as matrices over channels times kernel, as ComfyUI multiplies them.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from handlers.loras.adapters import Adapter, AdapterKind
from handlers.loras.bases import Linear
from handlers.loras.header import Tensor, quoted

Sides = tuple[int, int]


def shape_problem(adapter: Adapter, linear: Linear) -> str | None:
    """The first tensor that does not fit, in words; None where all do."""
    problem = _PROBLEMS[adapter.kind](adapter, linear)
    scale = adapter.dora_scale
    if problem is not None or scale is None:
        return problem
    if adapter.kind is AdapterKind.DIFF:
        return f"{quoted(scale.name)} is left out beside {quoted(adapter.first.name)}"
    return _scale_problem(scale, linear)


def _lora(adapter: Adapter, linear: Linear) -> str | None:
    down, up, middle = adapter.parts["down"], adapter.parts["up"], adapter.parts.get("mid")
    rank = adapter.rank
    if rank == 0 or len(down.shape) < 2 or len(up.shape) < 2:
        return f"{quoted(down.name)} and up are no matrices: {list(down.shape)}, {list(up.shape)}"
    kernel = math.prod(middle.shape[2:]) if middle else 1
    if _flat(down)[1] * kernel != linear.wide:
        return _wrong(down, (rank, linear.wide // kernel))
    if _flat(up) != (linear.out, rank):
        return _wrong(up, (linear.out, rank))
    if middle and (len(middle.shape) != 4 or middle.shape[:2] != (rank, rank)):
        return _wrong(middle, (rank, rank))
    return None


def _loha(adapter: Adapter, linear: Linear) -> str | None:
    roles = ("w1_a", "w1_b", "w2_a", "w2_b")
    cores = ("t1", "t2") if "t1" in adapter.parts or "t2" in adapter.parts else ()
    missing = _missing(adapter, (*roles, *cores))
    if missing:
        return missing
    for n in ("1", "2"):
        core = adapter.parts.get(f"t{n}")
        first, second = adapter.parts[f"w{n}_a"], adapter.parts[f"w{n}_b"]
        problem = _product(first, second, core, linear.out, linear.wide)
        if problem:
            return problem
    return None


def _lokr(adapter: Adapter, linear: Linear) -> str | None:
    """The Kronecker product of (a, b) and (c, d) is (a*c, b*d). ComfyUI's fails around a core."""
    if "t2" in adapter.parts:
        return f"{quoted(adapter.parts['t2'].name)} is a core, with which ComfyUI's product fails"
    sides: list[Sides] = []
    for n in ("1", "2"):
        found = _factor(adapter, n)
        if isinstance(found, str):
            return found
        sides.append(found)
    (a, b), (c, d) = sides
    if (a * c, b * d) != (linear.out, linear.wide):
        return (
            f"{quoted(adapter.first.name)} and its kin make [{a * c}, {b * d}], wanted"
            f" {[linear.out, linear.wide]}"
        )
    return None


def _factor(adapter: Adapter, n: str) -> Sides | str:
    """The sides of w1 or w2, which is whole or a product; else what is wrong with it."""
    whole, parts = adapter.parts.get(f"w{n}"), adapter.parts
    factors = [parts[role] for role in (f"w{n}_a", f"w{n}_b") if role in parts]
    if whole is not None:
        if factors:
            return f"{quoted(factors[0].name)} is left out beside {quoted(whole.name)}"
        most = 2 if n == "1" else 4
        if len(whole.shape) not in (2, most) or 0 in whole.shape:
            return f"{quoted(whole.name)} is no matrix: {list(whole.shape)}"
        return _flat(whole)
    missing = _missing(adapter, (f"w{n}_a", f"w{n}_b"))
    if missing:
        return missing
    first, second = factors
    if len(first.shape) != 2 or len(second.shape) != 2:
        return f"{quoted(first.name)} and its pair are no matrices"
    out, wide = first.shape[0], second.shape[1]
    return _product(first, second, None, out, wide) or (out, wide)


def _product(first: Tensor, second: Tensor, core: Tensor | None, out: int, wide: int) -> str | None:
    """Of (out, rank) and (rank, wide); around a core (i, j, k, l), of (i, out) and (j, inputs)."""
    if len(first.shape) != 2 or len(second.shape) != 2 or 0 in first.shape + second.shape:
        return f"{quoted(first.name)} and its pair are no matrices"
    if core is None:
        rank = second.shape[0]
        if second.shape[1] != wide:
            return _wrong(second, (rank, wide))
        return None if first.shape == (out, rank) else _wrong(first, (out, rank))
    if len(core.shape) != 4 or core.shape[:2] != (first.shape[0], second.shape[0]):
        return _wrong(core, (first.shape[0], second.shape[0]))
    kernel = math.prod(core.shape[2:])
    if second.shape[1] * kernel != wide:
        return _wrong(second, (second.shape[0], wide // max(1, kernel)))
    return None if first.shape[1] == out else _wrong(first, (first.shape[0], out))


def _diff(adapter: Adapter, linear: Linear) -> str | None:
    diff = adapter.parts["diff"]
    wanted = _weight(linear)
    return None if diff.shape == wanted else _wrong(diff, wanted)


def _scale_problem(scale: Tensor, linear: Linear) -> str | None:
    """One length for each output, or for each input, with a side of 1 for every other one.

    Another shape either fails, and the layer stays as it was, or is multiplied the wrong way.
    """
    ones = (1,) * (2 if linear.kernel else 0)
    inputs = linear.wide // (linear.kernel or 1)
    if scale.shape in ((linear.out, 1, *ones), (1, inputs, *ones)):
        return None
    return _wrong(scale, (linear.out, 1, *ones))


def _weight(linear: Linear) -> tuple[int, ...]:
    if not linear.kernel:
        return (linear.out, linear.wide)
    side = math.isqrt(linear.kernel)
    return (linear.out, linear.wide // linear.kernel, side, side)


def _missing(adapter: Adapter, roles: tuple[str, ...]) -> str | None:
    lacking = [role for role in roles if role not in adapter.parts]
    return f"{quoted(adapter.first.name)} has no {lacking[0]} beside it" if lacking else None


def _flat(tensor: Tensor) -> Sides:
    return tensor.shape[0], math.prod(tensor.shape[1:])


def _wrong(tensor: Tensor, wanted: tuple[int, ...]) -> str:
    return f"{quoted(tensor.name)} has shape {list(tensor.shape)}, wanted {list(wanted)}"


_PROBLEMS: Mapping[AdapterKind, Callable[[Adapter, Linear], str | None]] = MappingProxyType(
    {
        AdapterKind.LORA: _lora,
        AdapterKind.LOHA: _loha,
        AdapterKind.LOKR: _lokr,
        AdapterKind.DIFF: _diff,
    }
)
