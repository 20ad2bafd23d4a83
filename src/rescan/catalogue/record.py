"""What a record is: all that the house asks of one name that a study file may use. Imports nothing heavy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from string import Formatter
from typing import Any, Callable, ClassVar, Optional, TypeVar

FAULT = "a fault repeated on purpose"


@dataclass(frozen=True)
class Option:
    """An option of a name. Its default gives its type; numbers, and those of a list, lie within bounds.

    Attributes:
        default: A flag, a number, a text, a mapping of texts, or a tuple of numbers for a list of this length.
        about: Unit or meaning, for the docs.
        above: Numbers must be greater.
        below: Numbers must be less; each option has this, or `most`.
        least: Numbers must be as much or more.
        most: Numbers must be as much or less.
        choices: The values that it may have, each with its words in the sentence of its record.
        wording: The words of any other value.
        apart: The page gives the value elsewhere than with its record's sentence.
        fault: What is wrong with a value of the right type, "" if nothing is.
    """

    default: Any
    about: str = ""
    above: Optional[float] = None
    below: Optional[float] = None
    least: float = 0
    most: Optional[float] = None
    choices: Mapping[Any, str] = field(default_factory=dict)
    wording: Optional[Callable[[Any], str]] = None
    apart: bool = False
    fault: Callable[[Any], str] = lambda _: ""

    @property
    def value(self) -> Any:
        """The default as a study file would have it."""
        return list(self.default) if isinstance(self.default, tuple) else self.default

    def check(self, name: str, value: Any) -> Any:
        """Return a value of this option, whole numbers as decimals where the default is one.

        Raises:
            ValueError: It has another type than the default, or lies outside of the bounds.
        """
        default = self.value
        if isinstance(default, list):
            is_alike = isinstance(value, list) and len(value) == len(default)
            value = [_as_decimal(*pair) for pair in zip(value, default)] if is_alike else value
            is_alike = is_alike and all(type(number) is type(own) for number, own in zip(value, default))
        else:
            value = _as_decimal(value, default)
            is_alike = type(value) is type(default)
        if isinstance(value, dict):
            is_alike = is_alike and all(isinstance(text, str) for pair in value.items() for text in pair)
        if not is_alike:
            raise ValueError(f"{name} must be like {default!r}, not {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{name} must be one of {', '.join(self.choices)}, not {value!r}")
        if fault := self.fault(value):
            raise ValueError(f"{name}: {fault}")
        for number in value if isinstance(value, list) else [value] * self.is_number:
            if fault := self._out_of_bounds(number):
                raise ValueError(f"{name} must {fault}, but is {value!r}")
        return value

    @property
    def is_number(self) -> bool:
        """Whether it is a number, or a list of them."""
        return isinstance(self.default, (int, float, tuple)) and not isinstance(self.default, bool)

    def _out_of_bounds(self, number: float) -> str:
        """What a number must do that it does not; "" if it is within all bounds."""
        if self.above is not None and not number > self.above:
            return f"be above {self.above:g}"
        if self.below is not None and not number < self.below:
            return f"be below {self.below:g}"
        if not number >= self.least:  # NaN is neither above nor below anything
            return f"be at least {self.least:g}" if self.least else "not be negative"
        return f"be at most {self.most:g}" if self.most is not None and not number <= self.most else ""

    def say(self, value: Any) -> Any:
        """What stands for a value in a sentence: its words, or the value itself for the sentence to format."""
        return self.wording(value) if self.wording else self.choices.get(value, value) if self.choices else value

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        return {**self._type(), "default": self.value, **({"description": self.about} if self.about else {})}

    def _type(self) -> dict[str, Any]:
        default = self.default
        if isinstance(default, bool):
            return {"type": "boolean"}
        if isinstance(default, dict):
            return {"type": "object", "additionalProperties": {"type": "string"}}
        if isinstance(default, str):
            return {"enum": list(self.choices)} if self.choices else {"type": "string"}
        numbers = default if isinstance(default, tuple) else (default,)
        number: dict[str, Any] = {"type": "integer" if isinstance(numbers[0], int) else "number"}
        if self.above is not None:
            number["exclusiveMinimum"] = self.above
        else:
            number["minimum"] = self.least
        if self.below is not None:
            number["exclusiveMaximum"] = self.below
        if self.most is not None:
            number["maximum"] = self.most
        if isinstance(default, tuple):
            return {"type": "array", "items": number, "minItems": len(default), "maxItems": len(default)}
        return number


def _as_decimal(value: Any, default: Any) -> Any:
    return float(value) if type(value) is int and isinstance(default, float) else value


def imported(where: str) -> Any:
    """What is at `module:attribute`."""
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


@dataclass(frozen=True)
class Record:
    """A name, where it lives, its options, and its words.

    Attributes:
        kind: What its names are called in messages.
        name: As study files write it.
        where: Its implementation, `module:attribute`, imported on first use; "" if the record is all of it.
        about: What it does, for the docs.
        sentence: The same for the page, with its options as fields; the name itself if there is none.
        options: By name.
    """

    kind: ClassVar[str]
    name: str
    where: str = ""
    about: str = ""
    sentence: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def implementation(self) -> Any:
        """The function or class itself."""
        return imported(self.where)

    @property
    def defaults(self) -> dict[str, Any]:
        """The options' defaults."""
        return {name: option.value for name, option in self.options.items()}

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the name and all options: those given are checked, the others are the defaults.

        Raises:
            ValueError: There is no such option, or its value does not fit.
        """
        filled = {"name": self.name, **self.defaults}
        for name, value in values.items():
            if name not in self.options:
                raise ValueError(f"{self.kind} {self.name!r} has no option {name!r}{suggest(name, self.options)}")
            filled[name] = self.options[name].check(name, value)
        return filled

    def say(self, values: Mapping[str, Any]) -> str:
        """The sentence with the options' values; options that it lacks follow in brackets, unless they are 0 or off."""
        sentence = self.sentence or self.name
        fields = {name: option.say(values[name]) for name, option in self.options.items() if name in values}
        in_sentence = {(key or "").partition("[")[0] for _, key, _, _ in Formatter().parse(sentence)}
        others = [
            name.replace("_", " ") + _amount(value)
            for name, value in fields.items()
            if value and name not in in_sentence and not self.options[name].apart
        ]
        return sentence.format(**fields) + (f" ({', '.join(others)})" if others else "")

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a mapping of its name and options."""
        options = {name: option.schema() for name, option in self.options.items()}
        properties = {"name": {"const": self.name}, **options}
        return {"type": "object", "properties": properties, "required": ["name"], "additionalProperties": False}


R = TypeVar("R", bound=Record)


def by_name(*records: R) -> dict[str, R]:
    """The table of a kind, in the order given."""
    return {record.name: record for record in records}


def suggest(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, else the list of them, if any."""
    known = sorted(known)
    if not known:
        return ""
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def _amount(value: Any) -> str:
    return "" if value is True else f" {value:g}" if isinstance(value, float) else f" {value}"
