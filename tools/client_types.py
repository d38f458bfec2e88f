"""Writes the Python client's types from the JSON Schemas: requests.py and results.py.

python -m tools.client_types
"""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.api.schemas import JobResult
from pipeline.contract.schemas import schema

PACKAGE = Path(__file__).parent.parent / "clients" / "ryla_client"

HEAD = '''"""{title}

Written by `python -m tools.client_types` from the JSON Schema: edit the models.
"""

from typing import Annotated, Any, Literal, Required, TypeAlias, TypedDict
'''

PATHS_SAY = ("version", "model", "tenant", "input")
"""Fields of a manifest that a request has not: the path and the key say them."""

_SIMPLE = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}

Schema = Mapping[str, Any]


def render_requests() -> str:
    definitions = schema("manifest")["$defs"]
    manifests = [each for each in definitions.values() if "input" in each.get("properties", {})]
    fields = manifests[0]["properties"]
    common = {name: fields[name] for name in fields if name not in PATHS_SAY}
    inputs = {each["properties"]["input"]["$ref"].rpartition("/")[2] for each in manifests}
    parts = [
        HEAD.format(title="What each kind of job is asked for with."),
        _typed_dict("Consent", definitions["Consent"]),
        "class Common(TypedDict, total=False):",
        '    """What every request may have beside its kind\'s own fields."""\n',
        *(f"    {name}: {_annotated(field)}" for name, field in common.items()),
    ]
    names = []
    for name, part in _in_order(_parts_of(definitions, inputs)).items():
        parts += _object(name, part) if "properties" in part else [_alias(name, part)]
    for manifest in manifests:
        model = manifest["properties"]["model"]["const"]
        given = definitions[manifest["properties"]["input"]["$ref"].rpartition("/")[2]]
        names.append(given["title"].removesuffix("Input"))
        parts += _request(names[-1], model, given)
    parts.append(f"\nRequest: TypeAlias = {' | '.join(names)}")
    parts.append('"""A job of any kind; `model` tells which."""')
    return _formatted("\n".join(parts))


def _request(name: str, model: str, given: Schema) -> Iterator[str]:
    yield f"\nclass {name}(Common, total=False):"
    yield f"    model: Required[Literal[{json.dumps(model)}]]"
    yield from _fields(given)


def _parts_of(definitions: Mapping[str, Schema], inputs: Collection[str]) -> dict[str, Schema]:
    """What the inputs have objects of, at any depth."""
    found: dict[str, Schema] = {}
    asked = [*sorted(inputs)]
    while asked:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions[asked.pop()])):
            if name not in found:
                found[name] = definitions[name]
                asked.append(name)
    return found


def _object(name: str, about: Schema) -> Iterator[str]:
    yield f"\nclass {name}(TypedDict, total=False):"
    yield f'    """{about["description"]}"""\n'
    yield from _fields(about)


def _fields(about: Schema) -> Iterator[str]:
    required = about.get("required", ())
    for field, value in about["properties"].items():
        typed = _annotated(value)
        yield f"    {field}: {f'Required[{typed}]' if field in required else typed}"


def render_results() -> str:
    document = JobResult.model_json_schema(mode="serialization")
    parts = [HEAD.format(title="How a job ended, field by field.")]
    for name, each in _in_order({**document["$defs"], "Result": document}).items():
        parts.append(_typed_dict(name, each) if "properties" in each else _alias(name, each))
    return _formatted("\n".join(parts))


def _in_order(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Each after those that it speaks of."""
    done: dict[str, Schema] = {}

    def put(name: str) -> None:
        spoken_of = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions[name])))
        for other in sorted(spoken_of - done.keys() - {name}):
            put(other)
        done[name] = definitions[name]

    for name in definitions:
        if name not in done:
            put(name)
    return done


def _alias(name: str, each: Schema) -> str:
    return f"\n{name}: TypeAlias = {_type(each)}\n"


def _typed_dict(name: str, each: Schema) -> str:
    about = each.get("description")
    lines = [f"\nclass {name}(TypedDict):", f'    """{about}"""\n' if about else ""]
    for field, value in each["properties"].items():
        typed = _type(value)
        lines.append(f"    {field}: {json.dumps(typed) if name in typed.split() else typed}")
        if said := value.get("description"):
            lines.append('    """' + said.replace("\n", "\n    ") + '"""')
    return "\n".join(lines)


def _annotated(about: Schema) -> str:
    said = _about(about)
    return f"Annotated[{_type(about)}, {json.dumps(said)}]" if said else _type(about)


def _type(about: Schema) -> str:
    if "$ref" in about:
        return str(about["$ref"].rpartition("/")[2])
    for either in ("anyOf", "oneOf"):
        if either in about:
            return " | ".join(_type(each) for each in about[either])
    values = about.get("enum", [about["const"]] if "const" in about else [])
    if values:
        return f"Literal[{', '.join(json.dumps(each) for each in values)}]"
    match about.get("type"):
        case "array":
            return f"list[{_type(about.get('items', {}))}]"
        case "object":
            return f"dict[str, {_type(_values(about))}]"
        case None:
            return "Any"
        case simple:
            return _SIMPLE[simple]


def _values(about: Schema) -> Schema:
    values = about.get("additionalProperties")
    return values if isinstance(values, dict) else {}


def _about(about: Schema) -> str:
    """What a field means, its range and its default, as far as its type does not say them."""
    said = about.get("description", "")
    limits: Schema = next(
        (each for each in about.get("anyOf", [about]) if each.get("type") != "null"), {}
    )
    words = [_range(limits), _default(about.get("default"))]
    more = ", ".join(word for word in words if word)
    return f"{said} {more[0].upper()}{more[1:]}.".strip() if more else said


def _range(limits: Schema) -> str:
    low = limits.get("minimum", limits.get("exclusiveMinimum"))
    high = limits.get("maximum")
    if low is None or high is None or high > 2**31:
        return ""
    above = "above " if "exclusiveMinimum" in limits else ""
    step = f" in steps of {limits['multipleOf']}" if "multipleOf" in limits else ""
    return f"{above}{low} to {high}{step}"


def _default(value: object) -> str:
    return "" if value in (None, "", {}, False, []) else f"default {value}"


def _formatted(text: str) -> str:
    """Without the names that it does not use, in the project's form."""
    for command in (["check", "--quiet", "--select=F401,I", "--fix"], ["format", "--quiet"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename=clients/x.py", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=PACKAGE.parent.parent,
        ).stdout
    return text


FILES = {"requests.py": render_requests, "results.py": render_results}

if __name__ == "__main__":
    for file, render in FILES.items():
        (PACKAGE / file).write_text(render(), "utf-8")
