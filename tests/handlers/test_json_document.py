from handlers.json_document import JsonDocument


class Note(JsonDocument):
    text: str
    count: int = 0


def test_what_is_stored_is_read_again() -> None:
    note = Note(text="ä", count=2)

    assert note.body() == '{\n "text": "ä",\n "count": 2\n}'.encode()
    assert Note.parse(note.body()) == note


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert Note.parse(b'{"text": "a", "since": "tomorrow"}') == Note(text="a")


def test_bytes_that_are_no_such_document_are_none() -> None:
    for body in (b"", b"\xff", b"[]", b'{"count": 1}', b'{"text": 1}'):
        assert Note.parse(body) is None, body
