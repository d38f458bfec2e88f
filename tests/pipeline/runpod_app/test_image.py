import re
import shlex
from pathlib import Path, PurePosixPath

import pytest

from config.settings import Settings
from pipeline.modal_app import image
from pipeline.modal_app.container_files import CHECKED, is_shipped, shipped_files
from pipeline.runpod_app.image import Dockerfile, dockerfile, worker, write_context
from tests.pipeline.modal_app.test_image import lines

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made() -> Dockerfile:
    return dockerfile(ROOT, Settings(), {})


def test_it_runs_what_modals_image_runs_in_the_same_order(made: Dockerfile) -> None:
    runs = [line.removeprefix("RUN ") for line in made.lines if line.startswith("RUN ")]
    of_modal = [line[4:] for line in lines(image.worker()) if line.startswith("run ")]
    assert [line for line in runs if line in of_modal] == of_modal
    others = [line for line in runs if line not in of_modal]
    assert [bool(re.match("apt-get|pip install", line)) for line in others] == [True] * 4


def test_the_context_holds_what_is_shipped_and_nothing_else(made: Dockerfile) -> None:
    code = {name for name in made.files if name.startswith("files/root/")}
    wanted = {f"files/root/{path.relative_to(ROOT).as_posix()}" for path in shipped_files(ROOT)}
    assert code == wanted
    assert not any("standin" in name and not name.endswith("__init__.py") for name in code)
    checked = [name for name in made.files if name.startswith("files/opt/ryla/check/")]
    assert {PurePosixPath(name).parts[4] for name in checked} == {
        each.split("/")[0] for each in CHECKED
    }
    assert all(is_shipped(PurePosixPath(*PurePosixPath(name).parts[4:])) for name in checked)


def test_each_copy_is_of_something_in_the_context(made: Dockerfile) -> None:
    for line in made.lines:
        if line.startswith("COPY "):
            source = line.split()[1]
            assert any(name == source or name.startswith(f"{source}/") for name in made.files), line


def test_the_loops_packages_agree_with_ours() -> None:
    def pinned(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))

    recipe = worker("1")
    ours, theirs = pinned(recipe.requirements), pinned(recipe.loop or "")
    assert "runpod" in theirs
    assert {name: theirs[name] for name in ours if name in theirs} == {
        name: version for name, version in ours.items() if name in theirs
    }


def test_weights_lie_on_the_volume_and_no_secret_in_the_image(made: Dockerfile) -> None:
    env = dict(line[4:].split("=", 1) for line in made.lines if line.startswith("ENV "))
    assert shlex.split(env["RYLA_MODELS_DIR"]) == ["/runpod-volume/models"]
    assert env["RYLA_ENGINE"] == '"runpod"'
    assert not any(re.search("KEY|SECRET|TOKEN", name) for name in env)


def test_tables_of_the_operators_go_along(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("[routes.Flux]\nmax_containers = 3\n")
    made = dockerfile(ROOT, Settings(routes_file=own), {})
    assert made.files["files/opt/ryla/tables/routes.toml"] == own
    assert 'ENV RYLA_ROUTES_FILE="/opt/ryla/tables/routes.toml"' in made.lines


def test_a_context_is_written_whole_and_over_nothing(tmp_path: Path) -> None:
    own = tmp_path / "routes.toml"
    own.write_text("")
    small = Dockerfile(("FROM scratch",)).add_local_file(own, "/opt/routes.toml")
    write_context(small, tmp_path / "context")
    assert (tmp_path / "context/Dockerfile").read_text() == (
        "FROM scratch\nCOPY files/opt/routes.toml /opt/routes.toml\n"
    )
    assert (tmp_path / "context/files/opt/routes.toml").read_text() == ""
    with pytest.raises(FileExistsError):
        write_context(small, tmp_path / "context")
