"""Writes docs/events.md from the catalogue: `python -m tools.events_doc`."""

import types
import typing
from collections.abc import Iterator
from pathlib import Path

from events.catalogue import STEMS, Common, Event, Properties, RequestProperties, Scope
from events.moments import TABLE, Moment, event_for

PATH = Path(__file__).parent.parent / "docs" / "events.md"

INTRODUCTION = """\
# Events

Generated from `events/catalogue.py` and `events/moments.py` by `python -m tools.events_doc`;
change those, not this.

Events are stored before anything is sent: in a job's `result.json`, or after an attempt without a
result in its lease. This is the [outbox](glossary.md#outbox). Then they are sent to PostHog, or
without a key to a local file that `ryla events` prints. Each event arrives at least once. A
[replay](glossary.md#replay) has the same uuid, distinct id, timestamp and properties, so PostHog
counts it once. An event that PostHog refuses for good still stands in its result.

The distinct id is the manifest's `distinct_id`, else its tenant. PostHog drops events with some
ids: blank, over 200 characters, or a placeholder such as `anonymous` or `null`. A manifest with
such an id is refused; an event without another id gets `tenant:<name>` or `job:<id>`.

An entry that went to `rejected/` has no job. Its event stands in the object there, and in `outbox/`
until it has arrived. Its uuid is made of that object's key, so that one entry with two bodies has
two; its distinct id is what its body says, as above, else `manifest:rejected/<name>.<hash>.json`;
`entry` is its name in the inbox, and it has no `attempt`. A deployment's distinct id is
`deploy:<version>`. That of a budget's alarm is the tenant where the budget is one tenant's, else
`alarm:<key>`; it stands in `alarms/`, and in `owed/` until it has arrived.

Prompts are never sent, only their length.
"""

WHEN = {
    Moment.LORA_LOADED: "a LoRA was applied; once per execution and file",
    Moment.LORA_LOAD_FAILED: "a LoRA could not be found, read or fitted",
    Moment.FACE_MEASURED: "an output was scored; once per output, view and gate try."
    " Of a character sheet they are told from the records of its steps,"
    " at its end, with the attempt that made the picture",
    Moment.MODEL_LOADED: "a worker loaded a model's weights",
    Moment.REJECTED: "an entry of the inbox went to `rejected/`, or names no known kind",
    Moment.DEPLOYED: "the first tick of a version",
    Moment.BUDGET_REACHED: "jobs that have ended have cost 50, 80 or 100 % of a budget",
}

ONCE = {
    Scope.REQUEST: "Once per job, whichever attempt sends it.",
    Scope.END: "Once per {about}.",
    Scope.ATTEMPT: "Once per execution and {fields}.",
}


def render() -> str:
    parts = [INTRODUCTION, *_by_kind(), *_by_moment(), "## On every event\n", _fields(Common)]
    parts.append(
        "PostHog's own: `$ignore_sent_at` and `$geoip_disable` are true, "
        "`$process_person_profile` is false, `$lib` is `ryla-pipeline`.\n"
    )
    parts += ["## What the job asked for\n", "On each `modal_<kind>_generation_…`.\n"]
    parts += [_fields(RequestProperties), "## Properties by event\n"]
    for event in dict.fromkeys(TABLE.values()):
        parts += _section(event)
    return "\n".join(parts)


def _by_kind() -> Iterator[str]:
    moments = [moment for moment, event in TABLE.items() if event.per_kind()]
    yield "## Kind and moment → event\n"
    yield _table(
        ["kind", *moments],
        [[f"`{kind}`", *(_name(moment, kind) for moment in moments)] for kind in STEMS],
    )
    yield (
        "A refused job's event has `refused: true`. A job whose manifest names no known kind has "
        "`modal_manifest_rejected` instead of these, and no `requested`.\n"
    )


def _by_moment() -> Iterator[str]:
    yield "## Moment → event, whatever the kind\n"
    yield _table(
        ["moment", "event", "when"],
        [[moment, _name(moment, None), when] for moment, when in WHEN.items()],
    )


def _name(moment: Moment, kind: str | None) -> str:
    event = event_for(moment, kind)
    return f"`{event.name_for(kind)}`" if event else ""


def _section(event: type[Event]) -> Iterator[str]:
    fields = ", ".join(f"`{field}`" for field in event.told_apart_by)
    once = ONCE[event.scope].format(about=event.about, fields=fields)
    yield f"### `{event.pattern.format(stem='<kind>')}`\n"
    yield f"{event.__doc__} {once}\n"
    if set(event.model_fields) - {"request"}:
        yield _fields(event)


def _fields(model: type[Properties]) -> str:
    return _table(
        ["property", "type", "meaning"],
        [
            [f"`{name}`", _type(field.annotation), " ".join((field.description or "").split())]
            for name, field in model.model_fields.items()
            if name != "request"
        ],
    )


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(one) for one in arguments)
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    names: dict[object, str] = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        types.NoneType: "null",
    }
    return names[annotation]


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
