"""How whoever exports a sheet wants the dataset. Pure."""

from dataclasses import dataclass

from config.errors import DatasetError
from handlers.character_sheet.person import BaseName
from pipeline.datasets.captions import Subject, as_word

TRIGGER = "ohwx"
"""Where neither the sheet nor the caller has a trigger word: a word that models know nothing of."""
CLASS_WORD = "person"
MAX_WORD = 64
"""Characters of a trigger word, and of what it is one of."""


@dataclass(frozen=True)
class Wish:
    """How the dataset is wanted."""

    trigger: str | None = None
    """None takes the sheet's, else `ohwx`."""
    class_word: str = CLASS_WORD
    """Of what the trigger word is one: `woman`, `man`, `person`."""
    train_for: BaseName | None = None
    """Base model that the configurations are for; None takes the sheet's."""

    def __post_init__(self) -> None:
        """Raises DatasetError for what can begin no caption."""
        for field, text in (("trigger", self.trigger), ("class", self.class_word)):
            if text is not None and (not text or as_word(text) != text or len(text) > MAX_WORD):
                raise DatasetError(
                    f"{text[:80]!r} can begin no caption",
                    field=field,
                    value=text[:80],
                    hint=f"Give 1 to {MAX_WORD} characters on one line, no commas or brackets.",
                )

    def subject(self, sheet_trigger: str) -> Subject:
        """`sheet_trigger` is the word that the sheet's own prompts begin with, empty without."""
        told = as_word(sheet_trigger)[:MAX_WORD].strip()
        return Subject(self.trigger or told or TRIGGER, self.class_word)


PLAIN = Wish()
"""Nothing is asked for."""
