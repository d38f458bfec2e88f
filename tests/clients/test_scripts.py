"""The command line, by its old names and by its new ones. What the docs show is in test_docs."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config.gpus import load_gpus
from config.routes import load_routes
from handlers.character_sheet.input import CharacterSheetInput
from handlers.kinds.registry import KINDS
from pipeline.api import paths
from pipeline.costs import job_estimate
from ryla_client import RylaError, _cli, _flags
from ryla_client._cli import main, run
from tests.clients.conftest import Api

pytestmark = pytest.mark.xdist_group("clients")

CLIENTS = Path(__file__).parents[2] / "clients"
NOBODY = ("--url", "http://127.0.0.1:9")
LINE = r"💰 Cost: \$\d+\.\d{6} \| Time: \d+\.\d{3}s \| GPU: \w+"


@pytest.fixture
def at(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where the environment says where the server is."""
    monkeypatch.chdir(tmp_path)
    for name, value in api.environ().items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_every_kind_has_a_script() -> None:
    scripts = {file.stem for file in CLIENTS.glob("*.py")}

    assert scripts == {kind.replace("-", "_") for kind in KINDS} | {"flux"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_a_word_can_hold_has_a_flag(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([kind, "--help"])
    shown = capsys.readouterr().out

    fields = [each.flag for each in _flags.fields(_flags.kinds()[kind])]
    assert {each for each in fields if f"{each} " not in shown.replace("\n", " ")} <= {
        "--consent",
        "--metadata",
        "--workflow",
        "--inputs",
    }


def test_a_head_is_a_name_or_one_to_three_angles() -> None:
    parser = argparse.ArgumentParser()
    (head,) = (
        each for each in _flags.fields(_flags.kinds()["sdxl-instantid"]) if each.name == "head"
    )
    head.add_to(parser)
    assert parser.parse_args(["--head=-35"]).head == {"yaw": -35.0, "pitch": 0.0, "roll": 0.0}
    assert parser.parse_args(["--head=0,20,5"]).head == {"yaw": 0.0, "pitch": 20.0, "roll": 5.0}
    assert parser.parse_args(["--head=side-left"]).head == "side-left"
    with pytest.raises(SystemExit):
        parser.parse_args(["--head=1,2,3,4"])


def test_old_names_mean_what_they_mean_to_the_server() -> None:
    aliases = {each.path[1:]: each.kind for each in paths.ENDPOINTS if each.alias}
    gone = {each.path[1:] for each in paths.GONE}

    assert aliases == _cli.OLD_NAMES
    assert set(_cli.GONE) <= gone


def test_an_old_name_writes_the_old_file(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flux", "--prompt", "a cat", "--width", "256", "--height", "256"]) == 0

    with Image.open(at / "flux_output.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (256, 256))
    first, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"flux_output\.jpg: 256x256, seed \d+", first)
    assert re.fullmatch(LINE, last)


def test_a_format_that_is_asked_for_names_the_file(at: Path) -> None:
    flags = ["--prompt", "a cat", "--width", "256", "--output-format", "webp"]

    assert run("flux-schnell", flags) == 0

    with Image.open(at / "flux_schnell_output.webp") as picture:
        assert picture.format == "WEBP"


def test_the_same_key_gives_the_same_picture(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--prompt", "a cat", "--width", "256", "--idempotency-key", "twice", "--json"]
    results = []
    for name in ("a.webp", "b.webp"):
        assert run("flux-dev", [*flags, "--output", name]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["files"] == [name]
        results.append(answer["result"])

    assert results[0] == results[1]
    assert (at / "a.webp").read_bytes() == (at / "b.webp").read_bytes()


def test_pictures_of_a_graph_are_files_too(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "me.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    (at / "graph.json").write_text(json.dumps(graph))
    Image.new("RGB", (64, 64)).save(at / "face.png")
    flags = ["--workflow-file", "graph.json", "--input", "me.png=face.png", "--output", "x.png"]

    assert run("workflow", flags) == 0, capsys.readouterr().err
    assert (at / "x.png").exists()


def test_a_refusal_says_what_to_change(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flux-dev", ["--prompt", "a cat", "--width", "100"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("Error: width: Input should be ")
    assert "field: width" in said
    assert not list(at.iterdir())


def test_what_a_budget_may_not_last_for_is_said_before_the_job_ends(
    at: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here it is refused after that, since nobody has the LoRA."""
    given = CharacterSheetInput(name="Ann", lora_id="nobody")
    gpus, kind = load_gpus(), KINDS["character-sheet"]
    known = job_estimate(kind, given, gpus.gpu("L40S"), load_routes(gpus=gpus), gpus)
    budget = f"{((known.usd or 0.0) + (known.most_usd or 0.0)) / 2:.6f}"
    sheet = ["character-sheet", "--name", "Ann", "--lora-id", "nobody", "--max-cost-usd", budget]
    assert main(sheet) == 1
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: it may end as a partial sheet")
    assert second.startswith("Error: ")


def test_errors_are_json_if_asked(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flux-dev", ["--prompt", "a cat", "--width", "100", "--json"]) == 1

    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["code"], error["field"], error["status"]) == ("invalid_field", "width", 422)
    assert error["idempotency_key"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required"),
        (["flux-dev"], "--prompt"),
        (["flux-dev", "--prompt", "x", "--stpes", "3"], "--stpes"),
        (["flux-dev", "--prompt", "x", "--steps", "many"], "--steps"),
        (["flux-dev", "--prompt", "x", "--url", "nowhere"], "no http"),
        (["character-sheet"], "--name"),
        (["character-sheet", "--name", "Ann", "--views", "none.json"], "none.json"),
        (["character-sheet", "--name", "Ann", "--sizes", "half=big"], "write FRAMING="),
        (["character-sheet", "--name", "Ann", "--reuse", "ann"], "write JOB:VIEW"),
        (["flux-pulid"], "--instantid-strength"),
        (["wan2"], "no video"),
        (["sdxl-instantid", "--prompt", "x", "--reference-image", "none.png"], "none.png"),
        (["workflow", "--workflow-file", "none.json"], "none.json"),
        (
            ["flux-dev", "--prompt", "x", "--output", "x.jpg", "--output-format", "png"],
            "x.jpg is no name for png",
        ),
    ],
)
def test_every_error_ends_with_1(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else -1

    assert code == 1
    assert said in capsys.readouterr().err


def test_a_sheet_s_lists_are_flags_that_may_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(_cli, "_make", lambda request, given: made.append((request, given.output)))
    views = tmp_path / "views.json"
    views.write_text('[{"id": "front"}]')
    Image.new("RGB", (64, 64)).save(tmp_path / "ann.png")
    pictures = ["--reference-images", str(tmp_path / "ann.png"), "--reference-images", "inputs/b"]
    sizes = ["--sizes", "close-up=768x768", "--sizes", "full=704x1280", "--reuse", "ann:back, left"]

    assert main(["character-sheet", "--name", "Ann", *pictures, "--views", "lora-24"]) == 0
    assert main(["character-sheet", "--name", "Ann", "--views", str(views), *sizes]) == 0

    (first, folder), (second, _) = made
    assert folder == Path("character_sheet_output")
    assert first["views"] == "lora-24"
    assert first["reference_images"][0].startswith("data:image/png;base64,")
    assert first["reference_images"][1] == "inputs/b"
    assert second["views"] == [{"id": "front"}]
    assert second["sizes"] == {
        "close_up": {"width": 768, "height": 768},
        "full": {"width": 704, "height": 1280},
    }
    assert second["reuse"] == {"job": "ann", "views": ["back", "left"]}


def test_whoever_interrupts_is_told_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_cli, "_make", interrupt)

    assert run("flux-dev", ["--prompt", "a cat", "--idempotency-key", "k7"]) == 130
    assert "--idempotency-key k7" in capsys.readouterr().err


def test_a_workspace_of_modal_is_a_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, key: str, **_: object) -> None:
        raise RylaError(url)

    monkeypatch.setattr(_cli, "Client", refuse)

    assert run("flux-dev", ["--prompt", "a cat", "--modal-workspace", "studio"]) == 1
    assert "https://studio--ryla-api.modal.run" in capsys.readouterr().err


def test_a_server_that_is_away_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cli, "RETRY_SECONDS", 0.0)

    assert run("flux-dev", ["--prompt", "a cat", *NOBODY]) == 1
    assert "http://127.0.0.1:9: ConnectError" in capsys.readouterr().err
