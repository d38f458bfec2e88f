"""Whether a ComfyUI folder has every node that the graphs need. Starts it, without a GPU."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from workflows import interfaces, required_nodes
from workflows.comparison import Comparison, compare

FLAGS = ("--cpu", "--disable-api-nodes")
LOG_LINES = 2000
"""Enough for what the imports of many packs print."""

_CANNOT_IMPORT = re.compile(r"Cannot import (?P<path>\S+) module for custom nodes: (?P<why>.*)")
_FAILED = re.compile(r"IMPORT FAILED: (?P<name>\S+)")


@dataclass(frozen=True)
class NodeCheck:
    """Whether a ComfyUI has the nodes that our graphs are made of."""

    comparison: Comparison
    failed: Mapping[str, str]
    """Node pack, or file of ComfyUI's own nodes, that could not be imported → why."""

    @property
    def good(self) -> bool:
        """Nodes that differ may do; one that is missing will not."""
        return not self.comparison.missing


def check_folder(
    folder: Path,
    python: Path,
    environ: Mapping[str, str],
    *,
    ready_seconds: float,
    flags: Sequence[str] = FLAGS,
) -> NodeCheck:
    """Raises ComfyStartFailed, with its log."""
    with TemporaryDirectory(prefix="ryla-nodes-") as work_dir:
        process = ComfyProcess(
            folder,
            work_dir=Path(work_dir),
            environ=environ,
            python=str(python),
            flags=flags,
            ready_timeout_s=ready_seconds,
            log_lines=LOG_LINES,
        )
        with process, ComfyClient(process.url) as client:
            live = live_interfaces(client)
        return compare_nodes(live, process.log_tail(LOG_LINES))


def live_interfaces(client: ComfyClient) -> interfaces.Interfaces:
    """Of a running ComfyUI, with its version. Raises a ComfyError."""
    version = client.system_stats().get("system", {}).get("comfyui_version")
    return interfaces.from_object_info(client.object_info(), version or "of no known version")


def compare_nodes(live: interfaces.Interfaces, log: Sequence[str]) -> NodeCheck:
    """`log` is ComfyUI's, from its start."""
    comparison = compare(interfaces.committed(), live, required_nodes.ALL)
    return NodeCheck(comparison, failed_imports(log))


def failed_imports(log: Sequence[str]) -> dict[str, str]:
    """What ComfyUI's log says of modules that it could not import."""
    found: dict[str, str] = {}
    for line in log:
        if match := _CANNOT_IMPORT.search(line):
            found[Path(match["path"]).name] = match["why"].strip()
        elif match := _FAILED.search(line):
            found.setdefault(match["name"], "ComfyUI does not say why")
    return found
