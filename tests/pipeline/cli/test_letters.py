import io

import pytest

from pipeline.cli.letters import plain, speak_any_encoding


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Jürgen Größe", "Jurgen Grosse"),
        ("✓ ✗ ↻", "v x ~"),
        ("Мария 1", "????? 1"),
        ("a→b…", "a>b..."),
    ],
)
def test_what_an_encoding_lacks_is_shown_in_letters_that_it_has(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_terminal_of_any_encoding_takes_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    terminal = io.TextIOWrapper(written, "latin-1")
    monkeypatch.setattr("sys.stdout", terminal)
    speak_any_encoding()

    terminal.write("Größe ✓ 山")
    terminal.flush()

    assert written.getvalue().decode("latin-1") == "Größe v ?"
