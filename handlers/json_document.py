"""What one execution stores as JSON, and another reads again, perhaps of a later version."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class JsonDocument(BaseModel):
    """Frozen; fields that this version does not know are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def body(self) -> bytes:
        """As it is stored: JSON, UTF-8."""
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self | None:
        """The document, or None for bytes that are none."""
        try:
            return cls.model_validate_json(body)
        except ValueError:
            return None
