"""How a sheet asks for views of an ended one instead of making them again."""

from collections.abc import Sequence

from pydantic import ConfigDict, Field, field_validator

from handlers.character_sheet.views import MAX_VIEWS, ViewId
from handlers.kinds.base import JobInput

JOB_ID = r"^[a-z0-9][a-z0-9_-]{0,95}$"
"""As `ID_PATTERN` of the contract, which stands above this room."""


class Reuse(JobInput):
    """Views that an ended sheet of the same tenant and person has."""

    model_config = ConfigDict(strict=True)

    job: str = Field(pattern=JOB_ID, description="The ended sheet.")
    views: tuple[ViewId, ...] = Field(
        min_length=1,
        max_length=MAX_VIEWS,
        description="Its views that are reused as they are, by their ids.",
    )

    @field_validator("views")
    @classmethod
    def _once(cls, views: Sequence[str]) -> Sequence[str]:
        if len({*views}) < len(views):
            raise ValueError("a view is named twice: name each once")
        return views
