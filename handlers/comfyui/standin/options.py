"""The stand-in's command line: ComfyUI's flags, and a few of its own."""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    listen: str
    port: int
    """0 takes a free one."""
    output: Path
    input: Path
    temp: Path
    metadata: bool = True
    """Whether saved PNGs carry the graph."""
    known_files: Mapping[str, Sequence[str]] | None = None
    """Models folder -> file names. Without it, file choosers take any name."""
    step_seconds: float = 0.02
    allow_faults: bool = False
    """Whether prompts may order failures; see faults.py."""
    argv: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Flags that ComfyUI may know and the stand-in does not need."""

    @classmethod
    def under(cls, base: Path, **changes: object) -> "Options":
        """A server on a free loopback port with its folders under `base`."""
        folders = {name: base / name for name in ("output", "input", "temp")}
        values = {"listen": "127.0.0.1", "port": 0, **folders, **changes}
        return cls(**values)  # type: ignore[arg-type]


def parse(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="main.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--listen", nargs="?", default="127.0.0.1", const="0.0.0.0")
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--base-directory", type=Path)
    parser.add_argument("--output-directory", type=Path)
    parser.add_argument("--input-directory", type=Path)
    parser.add_argument("--temp-directory", type=Path)
    parser.add_argument("--disable-metadata", action="store_true")
    own = parser.add_argument_group("not of ComfyUI")
    own.add_argument("--known-files", type=Path, help="JSON: models folder -> list of file names")
    own.add_argument("--step-seconds", type=float, default=0.02, help="seconds per sampler step")
    own.add_argument("--allow-faults", action="store_true", help="let prompts order failures")
    given, ignored = parser.parse_known_args(argv)
    base = given.base_directory or Path(tempfile.mkdtemp(prefix="comfyui-standin-"))
    return Options(
        listen=given.listen,
        port=given.port,
        output=(given.output_directory or base / "output").resolve(),
        input=(given.input_directory or base / "input").resolve(),
        # As ComfyUI does: what is named is the folder that `temp` lies in.
        temp=((given.temp_directory or base) / "temp").resolve(),
        metadata=not given.disable_metadata,
        known_files=json.loads(given.known_files.read_text()) if given.known_files else None,
        step_seconds=given.step_seconds,
        allow_faults=given.allow_faults,
        argv=("main.py", *argv),
        ignored=tuple(ignored),
    )
