"""Reads schedules from text such as ``"cosine(1e-3, steps=1000).warmup(100)"``; runs no code."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, NoReturn

from lrcore.schedules.base import Clip, Product, Repeat, Scale, Schedule, Shift, Then, Warmup
from lrcore.schedules.registry import SCHEDULES

#: Limits of what is read, so that no text takes long or nests deeply.
MAX_CHARACTERS, MAX_PARTS = 10_000, 100

METHODS: dict[str, type[Schedule]] = {
    cls.__name__.lower(): cls for cls in (Warmup, Then, Scale, Clip, Shift, Repeat)
}
NAMES: dict[str, type[Schedule]] = {
    name.lower(): cls
    for name, cls in SCHEDULES.items()
    if cls is not Product and cls not in METHODS.values()
}
CONSTANTS = {"true": True, "false": False, "none": None}

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<length>\d{1,15}(?:\.\d{1,15})?(?:ep|%))
      | (?P<number>[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?)(?![\w.])
      | (?P<word>[A-Za-z_]\w*)
      | '(?P<single>[^'\\]*)' | "(?P<double>[^"\\]*)"
      | (?P<mark>[()\[\],=.*])
    )""",
    re.VERBOSE | re.ASCII,
)


class SpecError(ValueError):
    """A spec string that cannot be read; the message has the column and the problem."""


class _Token(NamedTuple):
    """A piece of the text: its kind, the text itself, and where it begins, from 0."""

    kind: str
    text: str
    column: int


def parse(text: str) -> Schedule:
    """The schedule that a text describes; `Schedule.spec` writes such texts.

    Names are those of the classes in lower case, with or without underscores. Arguments are those
    of the classes, by position or by name; lengths are written as ``100``, ``10ep`` or ``5%``.
    Schedules are composed by their methods and by ``*``. No code is run.

    Parameters
    ----------
    text : str

    Raises
    ------
    SpecError
        If the text cannot be read, with the column of the problem; it is a ValueError.
    TypeError
        If it is not text.

    Examples
    --------
    >>> parse("cosine(1e-3, steps=1000).warmup(100)")
    Warmup(after=Cosine(lr=0.001, steps=1000, end=0.0), steps=100)
    >>> parse("cosine(1e-3, step=1000)")
    Traceback (most recent call last):
    lrcore.schedules.spec.SpecError: column 14, at 'step=1000)': ...
    """
    if not isinstance(text, str):
        raise TypeError(f"a spec must be text such as 'cosine(1e-3, steps=1000)', got {text!r}")
    return _Parser(text).whole()


class _Parser:
    """A recursive descent parser of one text; each method reads a part and returns it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = 0
        if len(text) > MAX_CHARACTERS:
            self.fail(MAX_CHARACTERS, f"a spec has at most {MAX_CHARACTERS} characters")
        self.tokens: list[_Token] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            match = _TOKENS.match(text, at)
            if not match or match.end() > end:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                self.fail(start, "expected a name, a number or one of ( ) [ ] , = . *")
            kind = match.lastgroup or "mark"
            self.tokens.append(_Token(kind, match[kind], match.start(kind)))
            at = match.end()
        self.tokens.append(_Token("end", "", end))
        self.next = 0

    def fail(self, column: int, message: str) -> NoReturn:
        """Raise a SpecError about the text from a column on, counted from 0."""
        rest = self.text[column : column + 20]
        place = f"at {rest!r}" if rest.strip() else "at the end"
        raise SpecError(f"column {column + 1}, {place}: {message}")

    @property
    def token(self) -> _Token:
        """The next token, which is not taken."""
        return self.tokens[self.next]

    def take(self) -> _Token:
        """The next token, which is taken."""
        self.next += 1
        return self.tokens[self.next - 1]

    def skip(self, mark: str) -> bool:
        """Whether the next token is this mark; if it is, it is taken."""
        found = self.token.kind == "mark" and self.token.text == mark
        self.next += found
        return found

    def expect(self, mark: str) -> None:
        """Take this mark, or raise if the next token is another one."""
        if not self.skip(mark):
            self.fail(self.token.column, f"expected {mark!r}")

    def whole(self) -> Schedule:
        """The schedule of the whole text."""
        schedule = self.product()
        if self.token.kind != "end":
            self.fail(self.token.column, "expected '.', '*' or the end")
        return schedule

    def product(self) -> Schedule:
        """``chain * chain * ...``."""
        schedule = self.chain()
        while self.skip("*"):
            schedule = Product(schedule, self.chain())
        return schedule

    def chain(self) -> Schedule:
        """``name(...).method(...)``, or ``(product).method(...)``."""
        if self.skip("("):
            self.count()
            schedule = self.product()
            self.expect(")")
        else:
            name = self.name(NAMES, "schedule")
            schedule = self.call(NAMES[_key(name.text)], name)
        while self.skip("."):
            name = self.name(METHODS, "method")
            schedule = self.call(METHODS[_key(name.text)], name, schedule)
        return schedule

    def name(self, known: dict[str, type[Schedule]], what: str) -> _Token:
        """A name that is known, of a schedule or of a method."""
        token = self.take()
        if token.kind != "word" or _key(token.text) not in known:
            self.fail(token.column, f"expected a {what}: {', '.join(known)}")
        return token

    def count(self) -> None:
        """Count a part, and raise if there are too many."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            self.fail(self.token.column, f"a spec has at most {MAX_PARTS} parts")

    def call(self, cls: type[Schedule], name: _Token, *inner: Schedule) -> Schedule:
        """The schedule by the arguments ``(value, ..., name=value, ...)`` after its name."""
        self.count()
        own = fields(cls)[len(inner) :]
        values: dict[str, Any] = {}
        self.expect("(")
        while not self.skip(")"):
            if values:
                self.expect(",")
            place = self.token.column
            named = self.token.kind == "word" and self.tokens[self.next + 1].text == "="
            if named:
                word = self.take().text
                self.expect("=")
                if word not in [field.name for field in own]:
                    has = ", ".join(field.name for field in own)
                    self.fail(place, f"{name.text} has no argument {word!r}; it has {has}")
                if word in values:
                    self.fail(place, f"{name.text} has two values for {word}")
            elif list(values) != [field.name for field in own[: len(values)]]:
                self.fail(place, "values without a name come first")
            elif len(values) == len(own):
                self.fail(place, f"{name.text} has {len(own)} argument(s)")
            else:
                word = own[len(values)].name
            values[word] = self.value()
        for field in own:
            if field.default is MISSING and field.name not in values:
                self.fail(name.column, f"{name.text} needs {field.name}=")
        try:
            return cls(*inner, **values)
        except (ValueError, TypeError) as error:
            self.fail(name.column, str(error))

    def value(self) -> Any:
        """An argument: a number, a length, text, a list, a constant or a schedule."""
        token = self.token
        if token.kind == "number":
            self.next += 1
            whole = re.fullmatch(r"[+-]?\d+", token.text)
            return int(token.text) if whole else float(token.text)
        if token.kind in ("length", "single", "double"):
            return self.take().text
        if self.skip("["):
            self.count()
            items: list[Any] = []
            while not self.skip("]"):
                if items:
                    self.expect(",")
                items.append(self.value())
            return items
        if token.kind == "word" and self.tokens[self.next + 1].text not in ("(", "."):
            self.next += 1
            return CONSTANTS.get(token.text.lower(), token.text)
        if token.kind != "word" and token.text != "(":
            self.fail(token.column, "expected a value")
        return self.product()


def _key(name: str) -> str:
    """The name as it is looked up: in lower case, without underscores."""
    return name.replace("_", "").lower()
