"""The named secrets of the platform, and the keys that each must have."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class NamedSecret:
    name: str
    keys: tuple[str, ...]
    """Without one of these, no deploy. Any other setting may stand beside them."""
    needed_for: str

    @property
    def command(self) -> str:
        """What makes it."""
        pairs = " ".join(f"{key}=..." for key in self.keys)
        return f"modal secret create {self.name} {pairs}"


BUCKET = NamedSecret(
    "ryla-bucket",
    ("RYLA_BUCKET", "RYLA_ACCESS_KEY_ID", "RYLA_SECRET_ACCESS_KEY"),
    "the bucket that is the queue",
)
POSTHOG = NamedSecret("ryla-posthog", ("RYLA_POSTHOG_API_KEY",), "delivering events")
HUGGING_FACE = NamedSecret(
    "ryla-huggingface", ("HF_TOKEN",), "downloading weights, gated ones above all"
)
API_KEYS = NamedSecret(
    "ryla-api-keys",
    ("RYLA_API_KEYS",),
    "the HTTP API, which is open to the internet",
)

ALL: Mapping[str, NamedSecret] = MappingProxyType(
    {secret.name: secret for secret in (BUCKET, POSTHOG, HUGGING_FACE, API_KEYS)}
)
