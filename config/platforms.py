"""The platforms that workers run on, by the names that settings and tables have for them."""

from typing import Literal, get_args

Platform = Literal["local", "modal", "runpod"]
PLATFORMS: tuple[str, ...] = get_args(Platform)
LOCAL: Platform = "local"
"""Machines of your own."""
MODAL: Platform = "modal"
RUNPOD: Platform = "runpod"
