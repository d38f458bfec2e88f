"""The checks of a single input of a node."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.interfaces import AUTOGROW, DYNAMIC_COMBO, ENUM, FILE, InputSpec, NodeInterface
from workflows.validation_result import Problem

_ANY = ("*", "COMFY_MATCHTYPE_V3")
_LONG_LIST = 20
"""Choices above which ComfyUI reports only their number."""
_CONVERT: Mapping[str, type] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def finalized(
    interface: NodeInterface, inputs: Mapping[str, Any]
) -> Iterator[tuple[str, InputSpec, bool]]:
    """The inputs of a node as used: (name, spec, required), growing and dynamic ones spelt out as
    `name.inner`."""
    for specs, required in ((interface.required, True), (interface.optional, False)):
        yield from _spelt_out("", specs, required, inputs)


def _spelt_out(
    prefix: str, specs: Mapping[str, InputSpec], required: bool, inputs: Mapping[str, Any]
) -> Iterator[tuple[str, InputSpec, bool]]:
    for own_name, spec in specs.items():
        name = prefix + own_name
        if spec.type == AUTOGROW and spec.template is not None:
            yield from _grown(name, spec.template)
            continue
        # One within another may be left out; ComfyUI then leaves the choice to the node.
        yield name, spec, required and not (prefix and spec.type == DYNAMIC_COMBO)
        for option in spec.options:
            if option.key == inputs.get(name):
                yield from _spelt_out(f"{name}.", option.required, True, inputs)
                yield from _spelt_out(f"{name}.", option.optional, False, inputs)


def _grown(name: str, template: Mapping[str, Any]) -> Iterator[tuple[str, InputSpec, bool]]:
    least = template.get("min", 0)
    names = template.get("names") or [
        f"{template.get('prefix', '')}{n}" for n in range(template.get("max", least))
    ]
    for n, inner in enumerate(names):
        yield f"{name}.{inner}", InputSpec("*"), n < least


def missing(name: str) -> Problem:
    """A required input that is not there."""
    return Problem(
        "required_input_missing", "Required input is missing", name, {"input_name": name}
    )


def plain_value(spec: InputSpec, value: Any) -> Any:
    """As ComfyUI hands it to the node: unwrapped, and of the input's type where it can be."""
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    convert = _CONVERT.get(spec.type)
    try:
        return value if convert is None else convert(value)
    except (TypeError, ValueError, OverflowError):
        return value  # of a node that does not validate, and does not run


def check_value(
    name: str, spec: InputSpec, value: Any, choices: list[Any] | None
) -> Problem | None:
    """What is wrong with a literal value; `choices` None means that any value will do."""
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]  # how the format wraps a list that is no link
    config = declaration(spec, choices)
    given = {"input_name": name, "input_config": config, "received_value": value}
    convert = _CONVERT.get(spec.type)
    if convert is not None:
        try:
            value = convert(value)
        except (TypeError, ValueError, OverflowError) as failure:
            return Problem(
                "invalid_input_type",
                f"Failed to convert an input value to a {spec.type} value",
                f"{name}, {value}, {failure}",
                {**given, "exception_message": str(failure)},
            )
        given["received_value"] = value
    if spec.min is not None and value < spec.min:
        message = f"Value {value} smaller than min of {spec.min}"
        return Problem("value_smaller_than_min", message, name, given)
    if spec.max is not None and value > spec.max:
        message = f"Value {value} bigger than max of {spec.max}"
        return Problem("value_bigger_than_max", message, name, given)
    return None if choices is None else _check_choice(name, spec, value, choices, given)


def _check_choice(
    name: str, spec: InputSpec, value: Any, choices: list[Any], given: Mapping[str, Any]
) -> Problem | None:
    chosen = value if spec.multiselect and isinstance(value, list) else [value]
    wrong = [each for each in chosen if each not in choices]
    if not wrong:
        return None
    long = len(choices) > _LONG_LIST
    listed = f"(list of length {len(choices)})" if long else str(choices)
    details = f"{name}: {', '.join(map(repr, wrong))} not in {listed}"
    shown = {**given, "input_config": None} if long else given
    return Problem("value_not_in_list", "Value not in list", details, shown)


def declaration(spec: InputSpec, choices: list[Any] | None) -> list[Any]:
    """The input's declaration as ComfyUI repeats it, without its tooltip: [type or choices,
    options]."""
    options = {
        key: getattr(spec, key)
        for key in ("default", "min", "max", "step")
        if getattr(spec, key) is not None
    }
    return [spec.type if choices is None else choices, options]


def types_meet(received: str, wanted: str) -> bool:
    """Whether an output of one type may be linked to an input of another."""
    if received == wanted or received in _ANY or wanted in _ANY:
        return True
    if received == "COMBO" and wanted in (ENUM, FILE):
        return True
    one_of = {part.strip() for part in wanted.split(",")}
    return any(part.strip() in one_of for part in received.split(","))
