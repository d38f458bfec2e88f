"""A server that speaks ComfyUI's protocol and renders pictures without a model."""

from pathlib import Path


def standin_folder() -> Path:
    """The folder to start as if it were ComfyUI's: it has a main.py that takes its flags."""
    return Path(__file__).parent / "home"
