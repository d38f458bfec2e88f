import shutil
import subprocess
from pathlib import Path

import pytest

from config.errors import InstallFailed
from pipeline.comfyui_setup import install
from pipeline.comfyui_setup.install import InstallOptions, run, steps
from pipeline.comfyui_setup.pins import COMFYUI, PACKS
from pipeline.comfyui_setup.pins import COMMIT as COMFYUI_COMMIT
from workflows.required_nodes import CORE, INSTANTID, NEEDED

COMMIT = PACKS[INSTANTID].commit


def repository(folder: Path, files: dict[str, str], tag: str) -> None:
    """A git repository with one commit."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    as_us = ("-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("init", "-q"), ("add", "."), (*as_us, "commit", "-qm", "x"), ("tag", tag)):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def commands(options: InstallOptions) -> list[str]:
    return [" ".join(step.command) for step in steps(options, "comfy")]


def test_comfy_cli_installs_the_pinned_release_without_packages(tmp_path: Path) -> None:
    first = commands(InstallOptions(tmp_path / "ComfyUI"))[0]

    assert first == (
        f"comfy --skip-prompt --workspace={tmp_path / 'ComfyUI'} install --version {COMFYUI}"
        " --nvidia --skip-manager --skip-torch-or-directml --skip-requirement"
    )


def test_packs_are_taken_at_their_commits(tmp_path: Path) -> None:
    done = commands(InstallOptions(tmp_path, requirements=False))
    pack = tmp_path / "custom_nodes" / INSTANTID

    assert done[1:] == [
        f"git -C {tmp_path} checkout --quiet --detach {COMFYUI_COMMIT}",
        f"git clone --quiet --no-checkout {PACKS[INSTANTID].repository} {pack}",
        f"git -C {pack} checkout --quiet --detach {COMMIT}",
    ]


def test_a_pack_that_was_cloned_before_is_only_checked_out(tmp_path: Path) -> None:
    (tmp_path / "custom_nodes" / INSTANTID / ".git").mkdir(parents=True)

    assert not any(
        "git clone" in each for each in commands(InstallOptions(tmp_path, requirements=False))
    )


def test_a_local_clone_is_named_as_an_address(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()

    first = commands(InstallOptions(tmp_path / "ComfyUI", nvidia=False, source=str(clone)))[0]

    assert f"--url {clone.as_uri()} --version" in first
    assert " --cpu " in first


@pytest.mark.parametrize(("nvidia", "runtime"), [(True, "onnxruntime-gpu"), (False, "onnxruntime")])
def test_exactly_one_onnxruntime_is_installed(tmp_path: Path, nvidia: bool, runtime: str) -> None:
    words = [
        word
        for each in steps(InstallOptions(tmp_path, nvidia=nvidia), "comfy")
        for word in each.command
    ]

    assert [word for word in words if word.startswith("onnxruntime")] == [runtime]
    assert "opencv-python" not in words


def test_torch_is_installed_before_what_asks_for_any_torch(tmp_path: Path) -> None:
    names = [step.name for step in steps(InstallOptions(tmp_path), "comfy")]

    assert names.index("torch") < names.index("ComfyUI's requirements")
    assert all(
        str(tmp_path / install.CONSTRAINTS_FILE) in step.command
        for step in steps(InstallOptions(tmp_path), "comfy")
        if "pip" in step.command
    )


def test_every_pack_that_the_graphs_need_is_installed_unless_told_otherwise() -> None:
    assert set(InstallOptions.packs) == set(NEEDED) - {CORE}


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command in the place of comfy-cli."""
    command = tmp_path / "bin" / "comfy"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho "no such tag"\nexit 3\n')
    command.chmod(0o755)
    monkeypatch.setattr("pipeline.comfyui_setup.install.find_comfy", lambda: str(command))
    return command


def test_a_step_that_fails_says_which_and_its_last_words(comfy: Path, tmp_path: Path) -> None:
    said: list[str] = []

    with pytest.raises(InstallFailed, match="ended with 3") as caught:
        run(InstallOptions(tmp_path / "ComfyUI"), said.append, said.append)

    assert caught.value.log_tail == ("no such tag",)
    assert said == [f"ComfyUI {COMFYUI}", "no such tag"]


def test_without_comfy_cli_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(InstallFailed) as caught:
        install.find_comfy()

    assert "extra `gpu`" in str(caught.value.hint)


@pytest.mark.skipif(shutil.which("comfy") is None, reason="comfy-cli is not installed")
def test_comfy_cli_really_takes_these_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path / "clone", {"main.py": "", "requirements.txt": ""}, f"v{COMFYUI}")
    options = InstallOptions(
        tmp_path / "ComfyUI",
        nvidia=False,
        source=str(tmp_path / "clone"),
        packs=(),
        requirements=False,
    )
    monkeypatch.setenv("HOME", str(tmp_path))

    run(options, lambda line: None, lambda line: None)
    run(options, lambda line: None, lambda line: None)

    assert (options.folder / "main.py").exists()
