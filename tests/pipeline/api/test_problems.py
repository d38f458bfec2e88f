from config.errors import InvalidField
from pipeline.api.problems import problem, problem_details


def test_problem_details_are_those_of_the_rfc() -> None:
    error = InvalidField("steps is 0", field="input.steps", value=0)
    assert problem_details(error, "/jobs/a") == {
        "type": "urn:ryla:error:invalid_field",
        "title": "invalid field",
        "status": 422,
        "detail": "steps is 0",
        "instance": "/jobs/a",
        "code": "invalid_field",
        "field": "input.steps",
        "value": "0",
    }


def test_older_clients_find_the_words_that_they_print() -> None:
    told = problem(InvalidField("steps is 0", hint="steps may be 1 to 50."))
    assert (told["error"], told["details"]) == ("steps is 0", "steps may be 1 to 50.")
    assert problem(InvalidField("steps is 0"))["details"] == "invalid_field"
