"""Hostile YAML is refused in one line, within seconds; what is meant well is read as written."""

import json
import os
import socket

import pytest
from ruamel.yaml import YAML

from rescan.errors import RescanError
from rescan.study.yaml_text import MOST_BYTES, parsed, read_yaml

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LAUGHS, "line 1: more than 100,000 values, aliases counted as what they stand for"),
        (CHAIN, "line 1: is nested deeper than 40 levels, or in itself"),
        ("a: &a {b: *a}", "line 1: is nested deeper than 40 levels, or in itself"),
        ("a: &a\n  <<: *a", "line 1: is nested deeper than 40 levels, or in itself"),
        ("[" * 900 + "]" * 900, "nested too deep"),
        ("{a: " * 900 + "}" * 900, "nested too deep"),
        ("- " * 100_000, "nested too deep"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is there twice"),
        ("1: a\n'1': b", "line 2: the key '1' is there twice"),
        ("? [a]\n: b", "line 1: a key must be text, not a list or mapping"),
        ("<<: 3", "line 1: << needs a mapping, or a list of mappings"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: !!binary AAAA", "line 1: the tag tag:yaml.org,2002:binary is not read; take it out"),
        ("a: !!int x", "line 1: 'x' is no int"),
        ("a: .nan", "line 1: .nan is no finite number"),
        ("a: -.inf", "line 1: -.inf is no finite number"),
        ("a: 1e999", "line 1: 1e999 is no finite number"),
        ("a: " + "9" * 10_000, "line 1: a number of 10000 letters; 40 at most are read"),
        ('a: "\\0"', r"line 1: '\x00' holds a control character, or half of one"),
        ('"\\ud800": a', r"line 1: '\ud800' holds a control character, or half of one"),
        ('a: "\\UFFFFFFFF"', "the reader gives up (OverflowError"),
        ("a:\n\tb: c", "cannot start any token"),
        ("a: \x00", "special characters are not allowed"),
        ("*a", "found undefined alias 'a'"),
    ],
)
def test_hostile_text_is_refused_in_one_line(text, fault):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parsed(text)
    assert fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_meant_well_is_read_as_written():
    assert parsed("") is None
    assert parsed("{1: a, 01: b, 1.0: c, null: d, yes: e, 2020-01-01: f}") == dict(
        zip(["1", "01", "1.0", "null", "yes", "2020-01-01"], "abcdef")
    )
    assert parsed("[no, yes, 1e-4, 0o17, 2020-01-01, =, <<, ~, true, -3]") == (
        ["no", "yes", 1e-4, 15, "2020-01-01", "=", "<<", None, True, -3]
    )
    assert parsed("base: &b {x: 1, y: 2}\nc: {z: 3, <<: *b, y: 4}")["c"] == {"x": 1, "y": 4, "z": 3}
    assert parsed("p: &p {x: 1}\nq: &q {x: 2, y: 2}\nr: {<<: [*p, *q]}")["r"] == {"x": 1, "y": 2}


def test_an_alias_is_a_copy():
    content = parsed("a: &a {x: [1]}\nb: *a")
    content["a"]["x"].append(2)
    assert content["b"] == {"x": [1]}
    assert parsed("a: &a {x: [1]}\nb: *a")["a"] == {"x": [1]}


def test_the_shipped_files_are_read_as_by_the_library(pytestconfig):
    root = pytestconfig.rootpath
    files = [root / "config.yaml", *root.glob("studies/*.yaml"), *root.glob("docs/examples/*.yaml")]
    assert len(files) > 4
    for file in files:
        expected = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
        assert json.dumps(read_yaml(file)) == json.dumps(expected)  # in this order


def test_only_a_file_with_an_end_and_text_is_read(tmp_path):
    pipe, large, latin, several = (tmp_path / name for name in ("pipe.yaml", "large.yaml", "latin.yaml", "a\nb.yaml"))
    os.mkfifo(pipe)
    large.write_bytes(b"#" * (MOST_BYTES + 1))
    latin.write_bytes(b"title: \xe4")
    several.write_text("3")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for path, fault in {
            pipe: "is a pipe, device or socket, not a file",
            tmp_path / "s": "is a pipe, device or socket, not a file",
            "/dev/zero": "is a pipe, device or socket, not a file",
            tmp_path: "is a folder, not a file",
            f"{tmp_path}/a\0b": "embedded null byte",
            large: "has 1,000,001 bytes, more than the 1,000,000 that are read",
            latin: "not valid YAML: 'utf-8' codec can't decode byte 0xe4 in position 7",
            several: r"a\nb.yaml: a study file is a mapping",
        }.items():
            with pytest.raises(RescanError) as caught:
                read_yaml(path)
            assert fault in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1
    latin.write_bytes(b"\xef\xbb\xbftitle: x")
    assert read_yaml(latin) == {"title": "x"}
