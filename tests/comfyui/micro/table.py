"""The table of the micro models, and the sets of it that are to be there."""

from pathlib import Path

MICRO_MODELS = Path(__file__).with_name("models.toml")
SETS = ("flux-dev", "flux-schnell", "z-image-turbo", "sdxl-instantid")
