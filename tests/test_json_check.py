"""JSON values that jsonschema checks, and that nest too deeply for it."""

import pytest
from jsonschema import Draft202012Validator

from aimu._core.json_check import best_error

LIST = Draft202012Validator({"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}}})


class PanicException(BaseException):
    pass


class Panicking:
    def iter_errors(self, value):
        raise PanicException("__eq__ failed")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_the_error_that_says_most_is_found():
    assert best_error(LIST, nested(3)) is None
    assert best_error(LIST, [[7]]).message == "7 is not of type 'array'"


@pytest.mark.parametrize("depth", range(400, 420))
def test_a_value_that_nests_too_deeply_is_a_recursion_error(depth):
    with pytest.raises(RecursionError):
        best_error(LIST, nested(depth))


def test_a_panic_below_jsonschema_is_one_too():
    with pytest.raises(RecursionError, match="__eq__ failed"):
        best_error(Panicking(), 1)


@pytest.mark.parametrize("other", [KeyboardInterrupt, ValueError])
def test_other_exceptions_leave_as_they_are(other, monkeypatch):
    def fail(self, value):
        raise other

    monkeypatch.setattr(Panicking, "iter_errors", fail)
    with pytest.raises(other):
        best_error(Panicking(), 1)
