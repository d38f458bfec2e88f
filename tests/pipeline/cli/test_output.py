import errno
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from config.errors import ComfyDied, InvalidField, UnknownField
from pipeline.cli import output
from pipeline.contract.error_info import ErrorInfo


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (-3, "0.0 s"),
        (0.42, "0.4 s"),
        (9.94, "9.9 s"),
        (12, "12 s"),
        (200, "3 m 20 s"),
        (3600, "1 h 0 m"),
        (18_100, "5 h 1 m"),
        (183_600, "2 d 3 h"),
        (timedelta(minutes=2), "2 m 0 s"),
    ],
)
def test_durations_are_said_in_two_units(seconds: float | timedelta | None, said: str) -> None:
    assert output.span(seconds) == said


def test_an_age_is_counted_from_the_stores_clock() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert output.age(now - timedelta(seconds=75), now) == "1 m 15 s"
    assert output.age(None, now) == ""


def test_a_bar_says_how_far() -> None:
    assert output.bar(0.5, width=4) == "██░░  50%"


def test_cells_are_text_and_never_markup() -> None:
    assert output.cell("[red]x") == "\\[red]x"
    assert output.cell(None) == ""
    assert output.cell("failed") == "[red]failed[/]"


HOSTILE = "a\x1b[2J\u202eb\x9b\ud800\n"


def test_nothing_that_is_shown_steers_the_terminal() -> None:
    def act() -> None:
        output.print_text(HOSTILE)
        output.out().print(output.table(HOSTILE, (HOSTILE,), [(HOSTILE,)]))
        output.print_json({"name": HOSTILE})
        raise InvalidField(HOSTILE, value=HOSTILE)

    code, out, err = run(act)
    assert code == 1
    assert not {*"\x1b\u202e\x9b\ud800"} & {*out, *err}
    assert out.count("a�[2J�b��") == 4
    assert json.loads(out.splitlines()[-1]) == {"name": HOSTILE}
    assert json.loads(run(act, "--json")[2])["error"]["message"] == HOSTILE


def run(act: Callable[[], None], *words: str) -> tuple[int, str, str]:
    app = typer.Typer()

    @app.command()
    @output.command
    def command(json: bool = typer.Option(False, "--json")) -> None:
        act()

    done = CliRunner().invoke(app, words)
    return done.exit_code, done.stdout, done.stderr


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_an_error_says_code_field_value_and_hint() -> None:
    error = InvalidField("too [big]", field="input.steps", value=99, hint="At most 50.")
    error.others = (UnknownField("what is this", field="x"),)
    code, out, err = run(raising(error))

    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "invalid_field: too [big]",
        "  field  input.steps",
        "  value  99",
        "  hint   At most 50.",
        "unknown_field: what is this",
        "  field  x",
    ]


def test_an_empty_value_is_shown_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_info(ErrorInfo(code="c", message="m", field="input.prompt", value=""), None)

    assert 'value  ""' in capsys.readouterr().err


def test_the_last_log_lines_go_along() -> None:
    _, _, err = run(raising(ComfyDied("gone", log_tail=("CUDA error",))))

    assert "log    CUDA error" in err


def test_errors_are_json_where_json_is_asked_for() -> None:
    error = InvalidField("too big", field="input.steps", value=99)
    error.others = (UnknownField("what is this", field="x"),)
    _, out, err = run(raising(error), "--json")
    document = json.loads(err)

    assert out == ""
    assert (document["error"]["code"], document["error"]["value"]) == ("invalid_field", "99")
    assert [each["field"] for each in document["also"]] == ["x"]


def test_what_nobody_foresaw_has_no_traceback_also_before_logs_are_set_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("structlog.is_configured", lambda: False)
    code, out, err = run(raising(KeyError("oops")))

    assert (code, out) == (1, "")
    assert err == "internal: KeyError: 'oops'\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied"),
    ],
)
def test_a_place_that_takes_no_file_is_named_with_what_to_do(error: OSError, said: str) -> None:
    code, _, err = run(raising(error))

    assert code == 1
    assert err.startswith(f"invalid_input: {said}\n")
    assert "hint" in err


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (typer.Exit(3), 3), (BrokenPipeError(), 1)]
)
def test_ways_to_end_without_a_word(error: BaseException, code: int) -> None:
    assert run(raising(error)) == (code, "", "")


def test_json_is_ascii_where_the_terminal_has_no_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.print_json({"name": "Größe"})
    monkeypatch.setattr("rich.console.Console.encoding", "ascii")
    output.print_json({"name": "Größe"})

    plain, escaped = capsys.readouterr().out.splitlines()
    assert "Größe" in plain
    assert "Gr\\u00f6\\u00dfe" in escaped


def test_json_for_programs_is_one_line() -> None:
    code, out, _ = run(
        lambda: output.print_json({"at": datetime(2026, 1, 1), "x": "[red]é:smile:"})
    )

    assert code == 0
    assert out == '{"at": "2026-01-01T00:00:00", "x": "[red]é:smile:"}\n'
