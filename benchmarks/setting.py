"""What the benchmarks stand on: a store of their own, and how figures are printed."""

import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import cpu_count, getloadavg
from pathlib import Path

from config.settings import Settings
from pipeline.local.seaweed import SeaweedServer

ROUTES = "".join(
    f"[routes.{name}]\nmax_in_flight = {{slots}}\n" for name in ("Flux", "InstantId", "ZImage")
)
"""A bare key may need any route, so it gets a place only where each has one."""


@dataclass
class Ground:
    server: SeaweedServer
    folder: Path

    def bucket(self, name: str, *, slots: int = 16, **changes: float) -> Settings:
        """Settings of a fresh bucket, with so many places on the Flux route."""
        self.server.create_bucket(name)
        state = self.folder / name
        state.mkdir()
        routes = state / "routes.toml"
        routes.write_text(ROUTES.format(slots=slots))
        named = {**self.server.settings(name), "state_dir": state, "routes_file": routes}
        return Settings.model_validate({**named, "log_level": "error", **changes})


@contextmanager
def ground() -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="ryla-bench-") as folder:
        server = SeaweedServer(Path(folder) / "store")
        server.start()
        try:
            yield Ground(server, Path(folder))
        finally:
            server.kill()  # its folder goes too


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def machine() -> str:
    """With its load: rates tell little while others use the cores."""
    cores = f"{cpu_count()} cores, {platform.machine()}, load {getloadavg()[0]:.1f}"
    return f"{cores}, Python {platform.python_version()}"


def row(*cells: object, widths: tuple[int, ...]) -> None:
    print("  ".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def goal(text: str, *, met: bool) -> None:
    print(f"goal: {text}: {'met' if met else 'MISSED'}")


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
