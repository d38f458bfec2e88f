"""The rooms of the house, from top to bottom, and what each may import: docs/architecture.md."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tools.rooms import ROOT, Module, circles, figures, modules, room_of

pytestmark = pytest.mark.xdist_group("architecture")  # one process parses the modules for all

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "pipeline/cli": (
        *(
            "runpod_app",
            "modal_app",
            "acceptance",
            "doctor",
            "local",
            "api",
            "forecast",
            "report",
            "engines",
            "dispatcher",
        ),
        *("erasure", "datasets", "batches", "sheets", "reviews"),
        *("jobs", "inputs", "notify", "loras", "comfyui_setup", "queue", "runtime"),
        *(
            "models",
            "contract",
            "store",
            "pages",
            "handlers",
            "workflows",
            "events",
            "config",
            "system",
        ),
    ),
    "pipeline/runpod_app": (
        *("modal_app", "doctor", "engines", "worker", "loras", "contract", "config", "system"),
    ),
    "pipeline/modal_app": (
        *("doctor", "api", "engines", "worker", "dispatcher", "notify", "loras", "comfyui_setup"),
        *("runtime", "costs", "models", "store", "handlers", "events", "config", "system"),
    ),
    "pipeline/acceptance": (
        *("report", "dispatcher", "jobs", "loras", "costs", "runtime", "models", "contract"),
        *("store", "pages", "handlers", "events", "config"),
    ),
    "pipeline/doctor": (
        *("local", "engines", "notify", "runtime", "models", "store", "handlers", "workflows"),
        "config",
    ),
    "pipeline/local": (
        *(
            "api",
            "engines",
            "batches",
            "dispatcher",
            "jobs",
            "notify",
            "loras",
            "runtime",
            "models",
        ),
        *("contract", "store", "pages", "handlers", "events", "config", "system"),
    ),
    "pipeline/api": (
        *("jobs", "inputs", "sheets", "notify", "loras", "queue", "runtime", "contract", "store"),
        *("pages", "public_https", "handlers", "events", "config", "system"),
    ),
    "pipeline/forecast": (
        *("report", "dispatcher", "queue", "runtime", "costs", "contract", "store"),
        *("handlers", "config"),
    ),
    "pipeline/report": ("queue", "contract", "store", "pages", "handlers", "events", "config"),
    "pipeline/engines": (
        *("worker", "loras", "queue", "runtime", "contract", "workflows", "config", "system"),
    ),
    "pipeline/worker": (
        *(
            "dispatcher",
            "inputs",
            "sheets",
            "notify",
            "loras",
            "queue",
            "costs",
            "runtime",
            "models",
            "contract",
        ),
        *("store", "handlers", "workflows", "events", "config", "system"),
    ),
    "pipeline/erasure": ("batches", "jobs", "sheets", "notify", "contract", "store", "config"),
    "pipeline/batches": (
        *("datasets", "dispatcher", "jobs", "inputs", "sheets", "reviews", "loras", "costs"),
        *("runtime", "contract", "store", "handlers", "config", "pages"),
    ),
    "pipeline/datasets": ("sheets", "reviews", "contract", "store", "handlers", "config"),
    "pipeline/dispatcher": (
        *(
            "inputs",
            "sheets",
            "notify",
            "queue",
            "costs",
            "runtime",
            "contract",
            "store",
            "public_https",
        ),
        *("handlers", "workflows", "events", "config", "system"),
    ),
    "pipeline/jobs": (
        *(
            "inputs",
            "sheets",
            "notify",
            "queue",
            "runtime",
            "costs",
            "contract",
            "store",
            "handlers",
            "events",
        ),
        *("config",),
    ),
    "pipeline/inputs": (
        *("sheets", "loras", "costs", "runtime", "models", "contract", "store", "public_https"),
        *("handlers", "config"),
    ),
    "pipeline/sheets": (
        "reviews",
        *("notify", "loras", "runtime", "contract", "store", "handlers", "events", "config"),
    ),
    "pipeline/reviews": ("contract", "store", "handlers", "config"),
    "pipeline/notify": (
        *("runtime", "costs", "models", "contract", "store", "public_https", "handlers"),
        *("events", "config", "system"),
    ),
    "pipeline/loras": ("contract", "store", "handlers", "config"),
    "pipeline/comfyui_setup": ("handlers", "workflows", "config"),
    "pipeline/queue": ("contract", "store", "config", "system"),
    "pipeline/costs": ("handlers", "config"),
    "pipeline/runtime": ("models", "handlers", "workflows", "config"),
    "pipeline/models": ("handlers", "config"),
    "pipeline/contract": ("public_https", "handlers", "events", "config"),
    "pipeline/store": ("config", "system"),
    "pipeline/pages": (),
    "pipeline/public_https": (),
    "handlers": ("workflows", "config", "system"),
    "workflows": ("config",),
    "events": ("config", "system"),
    "config": (),
    "system": (),
    "clients": (),
}
"""Room → rooms it may import, without `pipeline/` before them. In order: none imports upwards."""

EVERYTHING = frozenset({"benchmarks", "tools", "pipeline"})
"""Rooms that may import any other, and that nobody imports for what is in them."""

ALONE: Mapping[str, tuple[str, ...]] = {
    "modal": ("comfyui_ryla.py", "pipeline/engines/modal.py"),
    "runpod": ("pipeline/runpod_app/runpod_worker.py",),
    "torch": ("handlers/comfyui/node_pack/", "benchmarks/"),
    "boto3": ("pipeline/store/s3_client.py", "benchmarks/boto_store.py"),
    "dlib": ("handlers/faces/dlib_finder.py",),
    "insightface": ("handlers/faces/insightface_finder.py",),
    "posthog": ("events/posthog_sink.py", "events/stored_event.py"),
    "fastapi": ("pipeline/api/", "pipeline/cli/serve.py", "pipeline/modal_app/api.py"),
    "typer": ("pipeline/cli/",),
    "huggingface_hub": ("pipeline/models/hub.py",),
    "moto": (),
}
"""Package of somebody else's → the only files or folders that may import it."""


@cache
def found() -> tuple[Module, ...]:
    return tuple(modules())


def arrows() -> Iterator[tuple[Module, str, str]]:
    """Each import that leaves its room: who, from which room, into which."""
    for module in found():
        here = room_of(module.name)
        for other in sorted({room_of(name) for name in module.imports} - {here, "pipeline"}):
            yield module, here, other


def allowed(room: str) -> frozenset[str]:
    rooms = MAY_IMPORT[room]
    return frozenset(name if name in MAY_IMPORT else f"pipeline/{name}" for name in rooms)


def wrong(room: str, other: str) -> bool:
    return room not in EVERYTHING and other not in allowed(room)


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(module.name) for module in found()} == {*MAY_IMPORT, *EVERYTHING}


def test_every_import_is_one_that_its_room_may_make() -> None:
    assert not [f"{each.path} imports {to}" for each, room, to in arrows() if wrong(room, to)]


def test_the_table_allows_nothing_that_nobody_does() -> None:
    done = {(room, to) for _, room, to in arrows()}
    assert not [
        (room, to) for room in MAY_IMPORT for to in sorted(allowed(room)) if (room, to) not in done
    ]


def test_the_table_leads_down_only() -> None:
    order = [*MAY_IMPORT]
    for room in order:
        assert allowed(room) <= {*order[order.index(room) + 1 :]}, room


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles({module.name: module.imports for module in found()}) == []
    assert figures([*found()]).back_up == 0


def test_a_module_that_is_put_where_it_does_not_belong_is_found() -> None:
    """What makes the tests above fail: a step of the queue that asks the API."""
    assert wrong("pipeline/queue", "pipeline/api")
    assert wrong("config", "pipeline/store")
    assert not wrong("pipeline/api", "pipeline/queue")
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]


@cache
def named(path: Path) -> tuple[str, ...]:
    """Modules that a file imports, read once for all tests here."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return tuple(names)


@pytest.mark.parametrize("package", ALONE)
def test_a_heavy_package_is_imported_in_its_own_place_alone(package: str) -> None:
    paths = [*(module.path for module in found()), Path("comfyui_ryla.py")]
    who = [
        path.as_posix()
        for path in paths
        if path.parts[0] != "tools"
        if any(name.split(".")[0] == package for name in named(ROOT / path))
    ]
    assert [path for path in who if not path.startswith(ALONE[package])] == []


def test_every_package_says_what_it_holds() -> None:
    silent = [
        module.path.as_posix()
        for module in found()
        if module.path.name == "__init__.py"
        if not ast.get_docstring(ast.parse((ROOT / module.path).read_bytes()))
    ]
    assert silent == []
