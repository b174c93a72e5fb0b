"""What declarations are given, required to be of the right type where it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onepipe.errors import DeclarationError


def text(what: str, given: object) -> str | None:
    """A text, or None.

    Args:
        what: name of the argument, for the error.
        given: what was given.

    Raises:
        DeclarationError: neither.
    """
    if given is not None and not isinstance(given, str):
        raise DeclarationError(f"{what} is text, not {_kind(given)}")
    return given


def texts(what: str, given: object) -> tuple[str, ...]:
    """Several texts, in their order.

    Raises:
        DeclarationError: no sequence of text; one text alone is none.
    """
    items = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (None,)
    named = tuple(item for item in items if isinstance(item, str))
    if len(named) < len(items):
        raise DeclarationError(f"{what} is a sequence of text", remedy=f'{what}=("…",)')
    return named


def names(what: str, given: object) -> tuple[str, ...]:
    """Names of fields, in their order; of one field, its name alone.

    Raises:
        DeclarationError: neither text nor a sequence of it.
    """
    return (given,) if isinstance(given, str) else texts(what, given)


def checks(given: object) -> dict[str, str]:
    """Checks as text, by name; none where None was given.

    Raises:
        DeclarationError: no mapping, or a name that is no text.
    """
    by_name = {} if given is None else given
    if not isinstance(by_name, Mapping) or not all(isinstance(name, str) for name in by_name):
        remedy = "checks={'positive': 'price > 0'}"
        raise DeclarationError(f"checks are expressions by name, not {_kind(given)}", remedy=remedy)
    return {name: str(check) for name, check in by_name.items()}


def _kind(given: object) -> str:
    return "None" if given is None else type(given).__name__
