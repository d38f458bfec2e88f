"""Installs ComfyUI with comfy-cli, and the node packs at their commits. A list of commands."""

import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import InstallFailed
from pipeline.comfyui_setup.pins import (
    COMFYUI,
    COMMIT,
    LOCKS,
    ONNXRUNTIME,
    OTHERWISE,
    PACKS,
    Pack,
)

UNTRACKED = {"DO_NOT_TRACK": "1", "COMFY_NO_TELEMETRY": "1"}
"""Variables under which comfy-cli reports to nobody."""
OnLine = Callable[[str], None]


@dataclass(frozen=True)
class InstallOptions:
    """What is installed, and where."""

    folder: Path
    """Where ComfyUI is put; its environment becomes .venv in there."""
    nvidia: bool = True
    source: str | None = None
    """A git address or a local clone in the place of ComfyUI's own."""
    version: str = COMFYUI
    packs: tuple[str, ...] = tuple(name for name, pack in PACKS.items() if pack.needed)
    pack_sources: Mapping[str, str] = field(default_factory=dict)
    """Pack → a git address or a local clone in the place of its own."""
    requirements: bool = True
    """False leaves out everything that pip would fetch."""
    base_python: str = sys.executable
    """Its environment is made with this one."""
    locks: Path = LOCKS
    """Where pip finds the locks."""

    @property
    def python(self) -> Path:
        return self.folder / ".venv" / "bin" / "python"


@dataclass(frozen=True)
class Step:
    name: str
    command: tuple[str, ...]


def steps(options: InstallOptions, comfy: str) -> list[Step]:
    """What is run, in order. `comfy` is comfy-cli's command."""
    found = [Step(f"ComfyUI {options.version}", _comfy_install(options, comfy))]
    if options.source is None and options.version == COMFYUI:
        checkout = ("git", "-C", str(options.folder), "checkout", "--quiet", "--detach", COMMIT)
        found.append(Step(f"ComfyUI at {COMMIT[:12]}", checkout))
    for name in options.packs:
        found += _pack(options, PACKS[name])
    if options.requirements:
        found += _environment(options)
    return found


def _comfy_install(options: InstallOptions, comfy: str) -> tuple[str, ...]:
    # Packages come later: comfy-cli would take torch unpinned.
    return (
        *(comfy, "--skip-prompt", f"--workspace={options.folder}", "install"),
        *(("--url", _address(options.source)) if options.source else ()),
        *("--version", options.version),
        "--nvidia" if options.nvidia else "--cpu",
        *("--skip-manager", "--skip-torch-or-directml", "--skip-requirement"),
    )


def _pack(options: InstallOptions, pack: Pack) -> list[Step]:
    folder = options.folder / "custom_nodes" / pack.name
    source = _address(options.pack_sources.get(pack.name, pack.repository))
    clone = ("git", "clone", "--quiet", "--no-checkout", source, str(folder))
    checkout = ("git", "-C", str(folder), "checkout", "--quiet", "--detach", pack.commit)
    return [
        *([] if (folder / ".git").exists() else [Step(f"{pack.name}", clone)]),
        Step(f"{pack.name} at {pack.commit[:12]}", checkout),
    ]


def _environment(options: InstallOptions) -> list[Step]:
    python = str(options.python)
    pip = (python, "-m", "pip", "install", "--quiet")
    requirements = f"-r{options.folder / 'requirements.txt'}"
    made = Step("environment", (options.base_python, "-m", "venv", str(options.folder / ".venv")))
    if options.version != COMFYUI:
        return [made, *_unlocked(options, pip, requirements)]
    locks = [f"-r{options.locks / name}" for name in _locks(options)]
    return [
        made,
        Step("packages", (*pip, "--require-hashes", "--no-deps", *locks)),
        # Fetches nothing: fails where the locks leave one of its own lines open.
        Step("ComfyUI's requirements", (*pip, "--no-deps", "--no-index", requirements)),
    ]


def _locks(options: InstallOptions) -> list[str]:
    own = [PACKS[name].lock for name in options.packs]
    return ["comfyui.txt", f"{ONNXRUNTIME[options.nvidia]}.txt", *(each for each in own if each)]


def _unlocked(options: InstallOptions, pip: tuple[str, ...], requirements: str) -> list[Step]:
    wanted = sorted({each for name in options.packs for each in PACKS[name].requirements})
    # Without what insightface asks for itself: see pins.EXCLUDED.
    insightface = [each for each in wanted if each == "insightface"]
    others = [each for each in wanted if each != "insightface"]
    found = [
        Step("torch", (*pip, *OTHERWISE)),
        Step("ComfyUI's requirements", (*pip, requirements)),
    ]
    if others:
        found.append(Step("the packs' requirements", (*pip, *others)))
    if insightface:
        runtime = ONNXRUNTIME[options.nvidia]
        found += [
            Step("insightface", (*pip, "--no-deps", *insightface)),
            Step("what insightface needs", (*pip, runtime, *INSIGHTFACE_NEEDS)),
        ]
    return found


INSIGHTFACE_NEEDS = ("numpy", "onnx", "requests", "scikit-image", "scipy", "tqdm")


def run(options: InstallOptions, on_step: OnLine, on_line: OnLine) -> None:
    """Raises InstallFailed with the last lines of the step that failed."""
    comfy = find_comfy()
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    if options.folder.is_dir() and not any(options.folder.iterdir()):
        options.folder.rmdir()  # comfy-cli clones only into what is not there
    for step in steps(options, comfy):
        on_step(step.name)
        _run(step, on_line)


def find_comfy() -> str:
    """comfy-cli's command, of our own environment or on PATH. Raises InstallFailed."""
    beside = Path(sys.executable).with_name("comfy")
    found = str(beside) if beside.exists() else shutil.which("comfy")
    if found is None:
        raise InstallFailed(
            "comfy-cli is not installed", hint="Install the extra `gpu`: it has comfy-cli."
        )
    return found


def _run(step: Step, on_line: OnLine) -> None:
    tail: deque[str] = deque(maxlen=40)
    try:
        child = subprocess.Popen(
            step.command,
            env={**os.environ, **UNTRACKED},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise InstallFailed(f"{step.name}: {step.command[0]}: {error.strerror}") from None
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            tail.append(line.rstrip())
            on_line(line.rstrip())
    if child.wait() != 0:
        raise InstallFailed(
            f"{step.name}: {_shown(step.command)} ended with {child.returncode}",
            hint="Its last lines tell why; run the install again when that is mended.",
            log_tail=tuple(tail),
        )


def _shown(command: Sequence[str]) -> str:
    return " ".join(command)


def _address(source: str) -> str:
    """A folder as an address that git and comfy-cli both take."""
    path = Path(source).expanduser()
    return path.absolute().as_uri() if path.is_dir() else source
