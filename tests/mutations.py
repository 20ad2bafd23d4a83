"""Random damages of a file between steps: cut, flipped, with other lines, columns, keys and values."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any, Callable, Optional

VALUES = [
    "NaN", "nan", "inf", "-inf", "-1", "0", "1", "2", "7", "0.5", "1.0", "1e308", "1e400", "9" * 20, "", " ", "x",
    "zzz", "train", "test", "unlabeled", "NA", "None", "True", "007", "x" * 100_000, "a\rb", "a\nb", "\r", "\x00",
    "'", '"', '""', '"a', "a,b", "=cmd()", "\u2028", "ä", "../../etc/passwd",
]  # fmt: skip
OBJECTS: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 0.5, 10**30, 1e308, "", "x", "x" * 100_000, "a\rb", "\u2028", [], [[]], [None],
    {}, {"x": 1}, [0] * 5,
]  # fmt: skip
BYTES = [b"\xff\xfe", b"\x00", b"\r", b"\r\n", b'"', b"\n\n", b"\xef\xbb\xbf", b"\xed\xa0\x80"]

Mutation = tuple[str, bytes]  # what it is, and the content


def mutate(kind: str, content: bytes, chance: random.Random) -> Mutation:
    """A random mutation of a file's content.

    Args:
        kind: csv, json or binary.
        content: The file's.
        chance: What draws it.
    """
    own = {"csv": OF_TABLES, "json": OF_JSON, "binary": []}[kind]
    function = chance.choice([*own, *own, *OF_BYTES])
    return function.__name__, function(content, chance)


def touched(kind: str, before: bytes, after: bytes) -> Optional[set[str]]:
    """The columns, or the keys of a JSON object, whose values are others; None where that cannot be said."""
    try:
        if kind == "json":
            one, other = json.loads(before), json.loads(after)
            if not isinstance(other, dict) or set(one) - set(other):
                return None
            return {key for key in other if json.dumps(one.get(key)) != json.dumps(other[key])}
        one, other = _rows(before), _rows(after)
    except (ValueError, csv.Error, RecursionError):
        return None
    if kind != "csv" or not other or one[0] != other[0] or list(map(len, one)) != list(map(len, other)):
        return None
    columns = zip(*one), zip(*other)
    return {name for name, old, new in zip(one[0], *columns) if old != new}


def _rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def _written(rows: list[list[str]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


def a_cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def a_cut_at_a_line(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: chance.randrange(len(lines))])


def a_flipped_bit(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def another_byte(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]


def inserted_bytes(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + chance.choice(BYTES) + content[place:]


def a_lost_piece(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + content[place + chance.randrange(1, 40) :]


def a_lost_line(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def a_repeated_line(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    return b"".join(lines)


def swapped_lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def a_lost_column(content: bytes, chance: random.Random) -> bytes:
    rows = _rows(content)
    place = chance.randrange(len(rows[0]))
    return _written([row[:place] + row[place + 1 :] for row in rows])


def a_repeated_column(content: bytes, chance: random.Random) -> bytes:
    rows = _rows(content)
    place = chance.randrange(len(rows[0]))
    return _written([[*row, row[place]] for row in rows])


def swapped_columns(content: bytes, chance: random.Random) -> bytes:
    rows = _rows(content)
    order = list(range(len(rows[0])))
    chance.shuffle(order)
    return _written([[row[place] for place in order] for row in rows])


def swapped_names(content: bytes, chance: random.Random) -> bytes:
    names, *rows = _rows(content)
    one, other = chance.randrange(len(names)), chance.randrange(len(names))
    names[one], names[other] = names[other], names[one]
    return _written([names, *rows])


def a_shifted_column(content: bytes, chance: random.Random) -> bytes:
    names, *rows = _rows(content)
    place = chance.randrange(len(names))
    values = [row[place] for row in rows]
    for row, value in zip(rows, values[1:] + values[:1]):
        row[place] = value
    return _written([names, *rows])


def another_value(content: bytes, chance: random.Random) -> bytes:
    rows = _rows(content)
    place = chance.randrange(len(rows[0]))
    chance.choice(rows)[place] = chance.choice(VALUES)
    return _written(rows)


def another_row_s_value(content: bytes, chance: random.Random) -> bytes:
    rows = _rows(content)
    place = chance.randrange(len(rows[0]))
    chance.choice(rows)[place] = chance.choice(rows)[place]
    return _written(rows)


def a_value_everywhere(content: bytes, chance: random.Random) -> bytes:
    names, *rows = _rows(content)
    place, value = chance.randrange(len(names)), chance.choice([value for value in VALUES if len(value) < 1000])
    return _written([names, *([*row[:place], value, *row[place + 1 :]] for row in rows)])


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every key of every object, and every place of every list, of a JSON value."""
    inside = list(content.items()) if isinstance(content, dict) else list(enumerate(content))
    places = [(content, key) for key, _ in inside]
    for _, value in inside:
        if isinstance(value, (dict, list)):
            places += _places(value)
    return places


def a_lost_key(content: bytes, chance: random.Random) -> bytes:
    whole = json.loads(content)
    place, key = chance.choice(_places(whole))
    del place[key]
    return json.dumps(whole).encode()


def a_renamed_key(content: bytes, chance: random.Random) -> bytes:
    whole = json.loads(content)
    place, key = chance.choice([entry for entry in _places(whole) if isinstance(entry[0], dict)])
    place[chance.choice(["x", key + " ", key.upper()])] = place.pop(key)
    return json.dumps(whole).encode()


def another_object(content: bytes, chance: random.Random) -> bytes:
    whole = json.loads(content)
    place, key = chance.choice(_places(whole))
    place[key] = chance.choice(OBJECTS)
    return json.dumps(whole).encode()


def another_place_s_object(content: bytes, chance: random.Random) -> bytes:
    whole = json.loads(content)
    (place, key), (other, other_key) = chance.choice(_places(whole)), chance.choice(_places(whole))
    place[key] = json.loads(json.dumps(other[other_key]))
    return json.dumps(whole).encode()


def a_number_that_is_none(content: bytes, chance: random.Random) -> bytes:
    whole = json.loads(content)
    place, key = chance.choice(_places(whole))
    place[key] = "<here>"
    text = chance.choice(["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "01", "-", "[" * 3000 + "]" * 3000])
    return json.dumps(whole).replace('"<here>"', text).encode()


def a_key_twice(content: bytes, chance: random.Random) -> bytes:
    key, value = chance.choice(list(json.loads(content).items()))
    other = chance.choice([value, *OBJECTS])
    return f"{content.decode().rstrip()[:-1]}, {json.dumps(key)}: {json.dumps(other)}}}".encode()


Function = Callable[[bytes, random.Random], bytes]
OF_BYTES: list[Function] = [a_cut, a_flipped_bit, another_byte, inserted_bytes, a_lost_piece]
OF_TABLES: list[Function] = [
    a_cut_at_a_line, a_lost_line, a_repeated_line, swapped_lines, a_lost_column, a_repeated_column, swapped_columns,
    swapped_names, a_shifted_column, another_value, another_value, another_row_s_value, a_value_everywhere,
]  # fmt: skip
OF_JSON: list[Function] = [
    a_lost_key, a_renamed_key, another_object, another_object, another_place_s_object, a_number_that_is_none,
    a_key_twice,
]  # fmt: skip
