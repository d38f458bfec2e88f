"""`POST /character-sheet` for a sheet that reuses views of another."""

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import ApiFixture, bearer, keys
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import flat_picture, sheet_manifest

pytestmark = pytest.mark.anyio
DATA_URL = "data:image/png;base64," + base64.b64encode(flat_picture("ann")).decode()


def asked(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(sheet_manifest(["front", "left"], "sdxl"))["input"]
    return {**given, "reference_images": [DATA_URL], **changes}


async def test_a_tenant_makes_a_view_again_and_gets_all_pictures_and_no_other_tenant_can(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(api_keys=keys(acme="a", zeta="z"))
    sheets = Sheets(pipeline)
    async with ApiFixture(pipeline) as api:
        first = (await api.post("/character-sheet", json=asked(), **bearer("a"))).json()["id"]
        again = asked(reuse={"job": first, "views": ["front"]})
        early = await api.post("/character-sheet", json=again, **bearer("a"))
        assert (early.status_code, early.json()["field"]) == (422, "reuse.job")

        await asyncio.to_thread(sheets.tick)
        theirs = await api.post("/character-sheet", json=again, **bearer("z"))
        nobodys = asked(reuse={"job": "nobody", "views": ["front"]})
        absent = await api.post("/character-sheet", json=nobodys, **bearer("z"))
        assert theirs.status_code == absent.status_code == 422
        assert theirs.json()["detail"].replace(first, "nobody") == absent.json()["detail"]

        redo = (await api.post("/character-sheet", json=again, **bearer("a"))).json()["id"]
        await asyncio.to_thread(sheets.tick)
        got = [
            await api.client.get(f"/jobs/{id}/outputs/{n}", headers=bearer("a"))
            for id in (first, redo)
            for n in (0, 1)
        ]
        assert [answer.status_code for answer in got] == [200] * 4
        assert got[0].content == got[2].content
        assert got[1].content != got[3].content
        document = (await api.client.get(f"/jobs/{redo}", headers=bearer("a"))).json()
        outputs = document["result"]["outputs"]
        assert [output["view"]["reused_from"] for output in outputs] == [first, None]
