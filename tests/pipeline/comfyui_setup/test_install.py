import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from config.errors import InstallFailed
from pipeline.comfyui_setup import install
from pipeline.comfyui_setup.install import InstallOptions, run, steps
from pipeline.comfyui_setup.pins import COMFYUI, EXCLUDED, LOCKS, OTHERWISE, PACKS
from pipeline.comfyui_setup.pins import COMMIT as COMFYUI_COMMIT
from workflows.required_nodes import CORE, INSTANTID, NEEDED

REQUIREMENTS = Path(__file__).parents[3] / "requirements"
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


def packages(command: Sequence[str]) -> list[str]:
    """What a step of pip names: packages, and files of them."""
    return [
        Path(word.removeprefix("-r")).name
        for word in command[5:]
        if word.startswith("-r") or not word.startswith("-")
    ]


@pytest.mark.parametrize(("nvidia", "runtime"), [(True, "onnxruntime-gpu"), (False, "onnxruntime")])
@pytest.mark.parametrize("version", [COMFYUI, "0.8.0"])
def test_exactly_one_onnxruntime_is_installed(
    tmp_path: Path, nvidia: bool, runtime: str, version: str
) -> None:
    options = InstallOptions(tmp_path, nvidia=nvidia, version=version)
    named = [
        name.removesuffix(".txt")
        for step in steps(options, "comfy")
        if "pip" in step.command
        for name in packages(step.command)
    ]

    assert [name for name in named if name.startswith("onnxruntime")] == [runtime]
    assert "opencv-python" not in named


def test_the_pins_packages_come_by_hash_and_its_own_list_only_checks_them(tmp_path: Path) -> None:
    hashed, checked = [step.command for step in steps(InstallOptions(tmp_path), "comfy")[-2:]]

    assert {"--require-hashes", "--no-deps"} < set(hashed)
    assert packages(hashed) == ["comfyui.txt", "onnxruntime-gpu.txt"]
    assert {"--no-index", "--no-deps"} < set(checked)
    assert packages(checked) == ["requirements.txt"]


def test_each_pack_that_our_graphs_do_without_has_a_lock_of_its_own(tmp_path: Path) -> None:
    others = tuple(name for name, pack in PACKS.items() if not pack.needed)

    command = steps(InstallOptions(tmp_path, packs=others), "comfy")[-2].command

    assert others
    assert packages(command)[2:] == [f"{name}.txt" for name in others]


def test_of_another_comfyui_torch_is_installed_before_what_asks_for_any_torch(
    tmp_path: Path,
) -> None:
    names = [step.name for step in steps(InstallOptions(tmp_path, version="0.8.0"), "comfy")]

    assert names.index("torch") < names.index("ComfyUI's requirements")
    locked = pinned(LOCKS / "comfyui.txt")
    assert all(locked[name].version in specifier for name, specifier in asked(OTHERWISE))


@dataclass(frozen=True)
class Pinned:
    version: str
    hashes: int


def pinned(lock: Path) -> dict[str, Pinned]:
    """What a lock gives to a Linux of 64 bits with Python 3.11."""
    found = {}
    for block in re.split(r"\n(?=[a-z])", lock.read_text()):
        wanted = Requirement(block.split("\\")[0])
        if wanted.marker is None or wanted.marker.evaluate({"python_full_version": "3.11.9"}):
            [only] = wanted.specifier
            found[wanted.name] = Pinned(only.version, block.count("--hash=sha256:"))
    return found


def asked(lines: Iterable[str]) -> list[tuple[str, SpecifierSet]]:
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [(canonicalize_name(each.name), each.specifier) for each in wanted]


LISTS = {
    "comfyui.txt": ("comfyui.in",),
    "seedvr2_videoupscaler.txt": ("comfyui.in", "seedvr2.in"),
}


@pytest.mark.parametrize("lock", LISTS)
def test_a_lock_satisfies_what_comfyui_and_the_packs_ask_for_all_by_hash(lock: str) -> None:
    locked = pinned(LOCKS / lock)
    for source in LISTS[lock]:
        for name, specifier in asked((REQUIREMENTS / source).read_text().splitlines()):
            if name not in EXCLUDED:
                assert locked[name].version in specifier, name
    assert not set(EXCLUDED) & set(locked)
    assert all(each.hashes for each in locked.values())


def test_the_locks_agree_on_versions() -> None:
    large, small = (pinned(LOCKS / lock) for lock in reversed(LISTS))
    assert small.items() <= large.items()
    for flavour in ("onnxruntime", "onnxruntime-gpu"):
        assert list(pinned(LOCKS / f"{flavour}.txt")) == [flavour]


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
