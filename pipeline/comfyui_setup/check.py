"""Fails unless a ComfyUI folder has every node that the graphs need: a step of the image's build.

    python -m pipeline.comfyui_setup.check DIR [PYTHON]

`ryla comfyui check` does the same where the whole project is installed; this needs only the check's
own part of it. PYTHON is by default the one of ComfyUI's own environment.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from config.errors import RylaError
from pipeline.comfyui_setup.install import InstallOptions
from pipeline.comfyui_setup.nodes import NodeCheck, check_folder
from workflows import missing_nodes, required_nodes

READY_SECONDS = 300.0
"""A first start without a GPU, on a builder that nothing is known of."""


def lines(found: NodeCheck) -> Iterator[str]:
    """What was found, in words: for each missing node, why its pack could not be imported."""
    comparison = found.comparison
    for name in comparison.missing:
        pack = missing_nodes.pack_of(name)
        why = found.failed.get(pack or "")
        yield f"missing: {name}. " + (
            f"{pack} could not be imported: {why}"
            if why
            else missing_nodes.why_missing(name, comparison.theirs)
        )
    for name, why in found.failed.items():
        yield f"not imported: {name}: {why}"
    for name, differences in comparison.changed.items():
        yield from (f"differs: {name}: {each}" for each in differences)
    if found.good:
        count = len(required_nodes.ALL)
        yield f"ComfyUI {comparison.theirs} has all {count} nodes that the graphs need"


def main(arguments: Sequence[str], say: Callable[[str], object]) -> int:
    """The exit code. Raises nothing of the error tree: this is a process's edge."""
    if len(arguments) not in (1, 2):
        say("usage: python -m pipeline.comfyui_setup.check DIR [PYTHON]")
        return 2
    folder = Path(arguments[0])
    python = Path(arguments[1]) if len(arguments) == 2 else InstallOptions(folder).python
    try:
        found = check_folder(folder, python, os.environ, ready_seconds=READY_SECONDS)
    except RylaError as error:
        for line in (*error.log_tail, f"{error.code}: {error.message}"):
            say(line)
        return 1
    for line in lines(found):
        say(line)
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda line: sys.stdout.write(f"{line}\n")))
