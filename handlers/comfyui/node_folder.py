"""Where ComfyUI finds our node pack."""

from pathlib import Path


def node_pack_folder() -> Path:
    """The package is not imported for it: that takes torch."""
    return Path(__file__).parent / "node_pack"
