"""What ran: `ryla accept` against the deployed app, whose jobs ran on the GPU that was named."""

from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.acceptance.criteria.criterion import Verdict
from pipeline.acceptance.http import Web
from pipeline.acceptance.run import Driver, Run, RunOptions
from pipeline.acceptance.summary import evaluate
from pipeline.runtime import load_runtime
from tests.support.acceptances import SMALL, plan_file
from tests.support.deployed_app import API_KEY, Deployed

pytestmark = [pytest.mark.xdist_group("deployed"), pytest.mark.thorough]

ONE = {"kinds": ["flux-dev"], "input": SMALL}


def test_ran_an_acceptance_with_jobs_on_a_named_gpu(ryla: Deployed, tmp_path: Path) -> None:
    flux = {"prompts": ["a cat"], "pictures": 1, "input": SMALL}
    file = plan_file(tmp_path, flux=flux, http=ONE, gpus={"pictures": 2, "input": SMALL})
    with Web.at(ryla.api, API_KEY) as web:
        run = Run(
            file,
            RunOptions("accepted", tmp_path, ["L40S"]),
            load_runtime(Settings(), "modal"),
            Driver(ryla.store, 2, None, patience_s=60, look_s=0.2),
            web,
        )
        run.prepare()
        findings = run.go()

    verdicts = {each.name: each for each in evaluate(findings.facts)}
    assert verdicts["HTTP"].verdict is Verdict.NO_EVIDENCE, verdicts["HTTP"]
    assert verdicts["Events"].verdict is Verdict.NO_EVIDENCE, verdicts["Events"]
    (row,) = findings.gpus
    assert (row.pictures, row.why) == (2, "")
    assert row.cold_parts is not None
    for id in row.jobs:
        (delivery,) = ryla.runs(id)
        assert delivery.function.gpus == ("L40S",)
