"""Flags of a character sheet whose fields no single word can hold."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

PRESETS = ("ten", "lora-24")
FRAMINGS = ("close-up", "half", "full")


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--views",
        metavar="VIEWS",
        help=f"{' or '.join(PRESETS)}, or a JSON file with a list of views (default: ten).",
    )
    parser.add_argument(
        "--sizes",
        action="append",
        metavar="FRAMING=WxH",
        help=f"Of {', '.join(FRAMINGS)}, such as half=896x1152; may be repeated.",
    )
    parser.add_argument(
        "--reuse",
        metavar="JOB:VIEW,…",
        help="Views of an ended sheet that are not made again.",
    )


def fields(given: argparse.Namespace) -> dict[str, Any]:
    """What these flags ask for. Raises OSError or ValueError for a file that has no list, and
    ValueError for a size that is none."""
    asked: dict[str, Any] = {}
    if given.views is not None:
        asked["views"] = given.views if given.views in PRESETS else _listed(Path(given.views))
    if given.sizes:
        asked["sizes"] = dict(map(_size, given.sizes))
    if given.reuse:
        asked["reuse"] = _reuse(given.reuse)
    return asked


def _reuse(text: str) -> dict[str, Any]:
    job, colon, names = text.partition(":")
    views = [name for each in names.split(",") if (name := each.strip())]
    if not colon or not views:
        raise ValueError(f"--reuse {text}: write JOB:VIEW,VIEW, such as ann:front,back")
    return {"job": job, "views": views}


def _listed(file: Path) -> list[Any]:
    views = json.loads(file.read_text("utf-8"))
    if not isinstance(views, list):
        raise ValueError(f"{file}: it has no list of views")
    return views


def _size(text: str) -> tuple[str, dict[str, int]]:
    found = re.fullmatch(rf"({'|'.join(FRAMINGS)})=(\d+)x(\d+)", text)
    if found is None:
        raise ValueError(f"--sizes {text}: write FRAMING=WIDTHxHEIGHT, such as half=896x1152")
    name = found[1].replace("-", "_")
    return name, {"width": int(found[2]), "height": int(found[3])}
