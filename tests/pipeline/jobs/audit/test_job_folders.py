from datetime import timedelta

import pytest

from pipeline.jobs.audit.job_folders import folders
from pipeline.store.base import Entry
from tests.support.pipeline_fixture import NOON

BYTE_ORDER = ["jobs/a-b/result.json", "jobs/a.txt", "jobs/a/out/1", "jobs/a/result.json"]
BY_DIRECTORY = ["jobs/a/out/1", "jobs/a/result.json", "jobs/a-b/result.json", "jobs/a.txt"]


@pytest.mark.parametrize("keys", [BYTE_ORDER, BY_DIRECTORY])
def test_jobs_are_told_apart_in_the_order_of_either_store(keys: list[str]) -> None:
    at = {key: NOON + timedelta(seconds=n) for n, key in enumerate(keys)}
    at["jobs/a/out/1"] = NOON + timedelta(hours=1)
    entries = [Entry(key, "e", 1, at[key]) for key in keys]
    by_id = {folder.id: folder for folder in folders(entries)}

    assert {id: sorted(folder.sizes) for id, folder in by_id.items()} == {
        "a": ["jobs/a/out/1", "jobs/a/result.json"],
        "a-b": ["jobs/a-b/result.json"],
        "": ["jobs/a.txt"],
    }
    assert {id: folder.newest for id, folder in by_id.items()} == {
        "a": at["jobs/a/out/1"],
        "a-b": at["jobs/a-b/result.json"],
        "": at["jobs/a.txt"],
    }
