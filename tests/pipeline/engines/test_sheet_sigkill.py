"""A worker that makes a character sheet, killed by SIGKILL after each of its steps: real processes,
the stand-in, the real store."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from config.settings import Settings
from pipeline.contract.result import Status
from tests.support.photographs import astronaut, png
from tests.support.sheets import sheet_manifest
from tests.support.stack import Stack, quick, running, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("sigkill")]
VIEWS = ("front", "left", "back")


@pytest.mark.parametrize("base", ["sdxl", "flux-dev"])
def test_a_sheet_outlives_a_kill_after_every_step(
    bucket: Settings, base: str, record_property: Callable[[str, object], None]
) -> None:
    settings = quick(bucket, max_attempts=20, job_timeout_seconds=60)
    with running(settings) as stack:
        stack.store.create("inputs/ann.png", png(astronaut()), "image/png")
        stack.store.create("inbox/sheet.json", sheet_manifest(VIEWS, base=base))
        kills = kill_after_each_record(stack)
        result = stack.result("sheet", 60)
        stack.wait_settled()
        assert result.status is Status.SUCCEEDED
        assert result.attempt == kills + 1
        assert kills >= len(VIEWS)

        records = stack.keys("jobs/sheet/cells/")
        assert len(records) == len({*records})
        drawn = Counter(
            key.rpartition("/")[2] for key in stack.keys("jobs/sheet/out/") if key.endswith(".png")
        )
        steps = {key.rpartition("/")[2].removesuffix(".json") for key in records}
        named = {f"{name}.png" for name in steps if "." in name}
        assert named <= drawn.keys()
        lost = sum(drawn.values()) - len(named)
        assert lost <= kills, "a kill cost more than one step"
        record_property("kills", kills)
        record_property("lost pictures", lost)
        print(f"{kills} kills, {len(named)} steps, {lost} pictures lost")  # noqa: T201
        stack.check_outputs(result)
        uuids = [event.uuid for event in result.events]
        assert len(uuids) == len({*uuids})


def test_views_that_a_sheet_reuses_outlive_a_kill_after_every_step(bucket: Settings) -> None:
    settings = quick(bucket, max_attempts=20, job_timeout_seconds=60)
    with running(settings) as stack:
        stack.store.create("inputs/ann.png", png(astronaut()), "image/png")
        stack.store.create("inbox/first.json", sheet_manifest(VIEWS, base="sdxl"))
        first = stack.result("first", 60)
        stack.wait_settled()
        reused = {"job": "first", "views": ["front", "left"]}
        redo = sheet_manifest(VIEWS, base="sdxl", input={"reuse": reused})
        stack.store.create("inbox/sheet.json", redo)
        kills = kill_after_each_record(stack)
        result = stack.result("sheet", 60)
        stack.wait_settled()
        assert result.status is Status.SUCCEEDED
        assert kills >= 1
        assert [output.view and output.view.reused_from for output in result.outputs] == [
            "first",
            "first",
            None,
        ]
        assert [output.key for output in result.outputs[:2]] == [
            output.key for output in first.outputs[:2]
        ]
        records = [key.rpartition("/")[2] for key in stack.keys("jobs/sheet/cells/")]
        assert sorted(records) == sorted(
            [
                *("01-front.t1.json", "01-front.json", "02-left.t1.json", "02-left.json"),
                *("03-back.c1.json", "03-back.json"),
            ]
        )
        made = {key.rpartition("/")[2] for key in stack.keys("jobs/sheet/out/")}
        assert {name for name in made if name.endswith((".c1.png", ".t1.png"))} == {
            "03-back.c1.png"
        }
        stack.check_outputs(result)
        print(f"{kills} kills, {len(records)} records")  # noqa: T201


def kill_after_each_record(stack: Stack) -> int:
    """Kill the worker as soon as there is one record more than at the last kill. How many kills."""
    kills = seen = 0

    def is_further() -> bool:
        return len(stack.keys("jobs/sheet/cells/")) > seen or bool(stack.find_result("sheet"))

    while wait_until(is_further, 60) and not stack.find_result("sheet"):
        for pid in stack.engine.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        kills += 1
        seen = len(stack.keys("jobs/sheet/cells/"))
    return kills
