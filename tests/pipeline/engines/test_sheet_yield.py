"""A sheet makes room for another job on the only worker: real processes, the real store."""

import pytest

from config.settings import Settings
from pipeline.contract.result import Status
from tests.support.photographs import astronaut, png
from tests.support.sheets import sheet_manifest
from tests.support.stack import quick, running

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("sigkill")]


def test_a_picture_does_not_wait_for_a_whole_sheet(bucket: Settings) -> None:
    settings = quick(bucket, local_workers=1, slice_seconds=1, job_timeout_seconds=60)
    with running(settings) as stack:
        stack.store.create("inputs/ann.png", png(astronaut()), "image/png")
        views = ("front", "left", "right", "back")
        stack.store.create("inbox/sheet.json", sheet_manifest(views, base="flux-dev"))
        stack.wait_running("sheet")
        stack.submit("picture")
        picture = stack.result("picture", 60)
        assert stack.find_result("sheet") is None
        sheet = stack.result("sheet", 60)
        stack.wait_settled()
        assert picture.status is sheet.status is Status.SUCCEEDED
        assert sheet.attempt == 2
        assert not sheet.partial
        steps = [key for key in stack.keys("jobs/sheet/out/") if ".c" in key or ".t" in key]
        assert len(steps) == 7, "no step was made twice"
        assert {key.split("/")[3] for key in steps} == {"a1", "a2"}
