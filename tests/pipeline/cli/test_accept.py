import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.stack import quick, running

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
PLAN = """
name = "small"
at_once = 8
[flux]
prompts = ["a cat"]
pictures = 2
input = {{ width = 256, height = 256, steps = 1 }}
[loras]
prompt = "reading"
input = {{ width = 256, height = 256, steps = 1 }}
files = [{{ file = "{lora}", id = "small-one" }}]
"""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return tmp_path / "examples/accept/plan.toml"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    lora = EXAMPLES / "accept/loras/one.safetensors"
    (tmp_path / "plan.toml").write_text(PLAN.format(lora=lora))
    return tmp_path / "plan.toml"


@pytest.fixture
def stack(bucket: Settings) -> Iterator[None]:
    """A dispatcher and workers with the stand-in."""
    with running(quick(bucket)):
        yield


@pytest.mark.usefixtures("stack")
def test_a_stack_is_driven_judged_and_shown(ryla: Ryla, plan: Path, store: SafeStore) -> None:
    said = ryla("accept", "--plan", plan)

    assert said.code == 0, said.err
    assert "Run      small: 4 jobs\nExpected $0." in said.out
    assert "this is no evidence of quality" in said.out
    assert "pass" not in said.out.split()
    page = plan.parent / "out/accept-small/report.html"
    assert "This is no evidence of quality" in page.read_text()
    written = json.loads(page.with_name("report.json").read_text())
    verdicts = {each["criterion"]: each["verdict"] for each in written["criteria"]}
    assert verdicts["Events"] == "no evidence"
    assert verdicts["Flux Dev pictures"] == "not run"

    manifests = [entry.key for entry in store.list("jobs/").entries]
    again = ryla("accept", "--plan", plan, "--json")

    assert [entry.key for entry in store.list("jobs/").entries] == manifests
    assert again.document["forecast"]["there"] == 4
    assert again.document["criteria"] == written["criteria"]


def test_nobody_who_serves_the_bucket_is_no_success(ryla: Ryla, plan: Path) -> None:
    said = ryla("accept", "--plan", plan, "--run", "alone", "--patience", "1", "--json")

    assert (said.code, said.document["stopped"]) == (1, "nothing happened to any job for 1 s")
    assert said.document["ok"] is True


@pytest.mark.parametrize(
    ("words", "field", "hint"),
    [
        (["--gpus", "L40S"], "--gpus", "RYLA_ENGINE=modal"),
        (["--run", "A run"], "--run", "a-z"),
        (["--max-cost-usd", "0.000001"], "--max-cost-usd", "Allow more"),
        (["--url", "example.modal.run"], "--url", None),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(
    ryla: Ryla, store: SafeStore, plan: Path, words: list[str], field: str, hint: str | None
) -> None:
    said = ryla("accept", "--plan", plan, *words, "--json")

    assert (said.code, said.error["field"]) == (1, field)
    assert hint is None or hint in said.error["hint"]
    assert store.list("").entries == ()


def test_the_commands_of_its_page_are_understood(
    ryla: Ryla, store: SafeStore, examples: Path
) -> None:
    page = (ROOT / "docs/accept.md").read_text()
    lines = [line.split() for line in page.splitlines() if line.startswith("    ")]
    commands = [line[line.index("ryla") + 1 :] for line in lines if "ryla" in line]

    assert len(commands) == 6
    for command in commands:
        dry = [*command, *(["--dry-run"] if "--dry-run" not in command else []), "--json"]
        said = ryla(*dry, RYLA_ENGINE="modal")
        if "--compare-precision" in command:
            assert (said.error["field"], said.error["value"]) == (command[-2], command[-1])
            assert "Run the plan under that name first" in said.error["hint"]
            continue
        assert said.code == 0, said.err
        assert said.document["forecast"]["jobs"] >= 19
    assert store.list("").entries == ()
