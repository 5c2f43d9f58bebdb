"""Reading YAML text: YAML 1.2 scalars, positions, and hostile or broken files answered fast in one line."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from rdc_dyn.scenario import ScenarioError, load
from rdc_dyn.scenario.document import MAX_BYTES, Document, decode, parse, parse_scenario


def refusal(text: str) -> str:
    """Give the whole message of a text that cannot be read, or whose reading notes problems."""
    try:
        document = parse_scenario(text, "s")
    except ScenarioError as error:
        return str(error)
    return "\n".join(str(problem) for _, problem in document.mistakes)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E+2", 100.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        ("-12", -12),
        ("+1", 1),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("no", "no"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
        ("nan", "nan"),
        ("inf", "inf"),
        ("'1e-3'", "1e-3"),
        ('"null"', "null"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("!!int '3'", 3),
        ("!!null ''", None),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    read = parse(f"a: {text}\n", "s")
    assert not read.mistakes
    assert (type(read.tree["a"]), read.tree["a"]) == (type(value), value)


def test_nan_is_read_as_a_float() -> None:
    assert math.isnan(parse("a: .nan", "s").tree["a"])


def where(document: Document, *path: str | int) -> tuple[tuple[int, int], tuple[int, int]]:
    place = document.places[path]
    return (place.key.line, place.key.column), (place.value.line, place.value.column)


def test_every_key_and_value_has_its_line_and_column() -> None:
    document = parse("# c\na: 1\nb:\n  c: [x, {d: é}]\n  'e' : |\n    t\n  f:\n", "s")
    assert document.tree["b"]["c"] == ["x", {"d": "é"}]
    assert where(document, "a") == ((2, 1), (2, 4))
    assert where(document, "b") == ((3, 1), (4, 3))
    assert where(document, "b", "c") == ((4, 3), (4, 6))
    assert where(document, "b", "c", 0) == ((4, 7), (4, 7))
    assert where(document, "b", "c", 1) == ((4, 10), (4, 10))
    assert where(document, "b", "c", 1, "d") == ((4, 11), (4, 14))
    assert where(document, "b", "e") == ((5, 3), (5, 9))
    assert where(document, "b", "f") == ((7, 3), (7, 3))
    assert set(document.places) == {
        (),
        ("a",),
        ("b",),
        ("b", "c"),
        ("b", "c", 0),
        ("b", "c", 1),
        ("b", "c", 1, "d"),
        ("b", "e"),
        ("b", "f"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s:1:1: empty"),
        ("# only a comment\n", "s:1:1: empty"),
        ("---\n...\n", "s:1:1: empty"),
        ("[1, 2]", "s:1:1: the top level must be a mapping of sections, not a list"),
        ("  word", "s:1:3: the top level must be a mapping of sections, not a single value"),
        ("a: 1\n---\nb: 2", "s:2:1: a second document"),
        ("a: [1,\n", "s:2:1: not valid YAML: "),
        ("a: b: c", "s:1:5: not valid YAML: mapping values are not allowed here"),
        ("a:\n\t- b", "s:2:1: not valid YAML: a tab; indent with spaces"),
        ("a: 'x", "s:1:6: not valid YAML: found unexpected end"),
        ("a: @x", "s:1:4: not valid YAML: "),
        ('a: "\\UFFFFFFFF"', "s:1:1: not valid YAML: "),
        ("%YAML 9.9\n---\na: 1", "s:1:1: not valid YAML: found incompatible"),
        ("%YAML 1.1\n---\na: 1", "s:2:1: write the scenario without a %YAML directive"),
        ("a: 1\nb: \x00", "s:2:4: the character U+0000 is not allowed"),
        ("a: \ud800", "s:1:4: the character U+D800 is not allowed"),
        ('a: ["\\0"]', "s:1:5: a.0: contains the control character U+0000"),
        ("a: 1\nb: 2\na: 3", "s:3:1: a: duplicate key; first given in line 1"),
        ("s: {a: 1, a: 2}", "s:1:11: s.a: duplicate key; first given in line 1"),
        ("a: &x 1\nb: 2", "s:1:4: a: anchors (&x) are not allowed"),
        ("b: *x", "s:1:4: b: aliases (*x) are not allowed"),
        ("s:\n  <<: {a: 1}", "s:2:3: s: merge keys are not allowed"),
        ("1: x", "s:1:1: a key must be a word, not 1"),
        ("true: x", "s:1:1: a key must be a word, not true"),
        ("? [a, b]\n: x", "s:1:3: a key must be a word, not a section"),
        ("*x : 1", "s:1:1: a key must be a word, not a section, a list or an alias"),
        ("a: !x 1", "s:1:4: a: the tag !x is not allowed"),
        ("a: ! 1", "s:1:4: a: the tag ! is not allowed"),
        ("a: !x {b: 1}", "s:1:4: a: the tag !x is not allowed"),
        ("a: !!python/object/apply:os.system [ls]", "s:1:4: a: the tag !!python/object/apply:os.system is not"),
        ("a: !!set {b}", "s:1:4: a: the tag !!set is not allowed"),
        ("a: !!binary aGk=", "s:1:4: a: the tag !!binary is not allowed"),
        ("a: !!timestamp 2020-01-01", "s:1:4: a: the tag !!timestamp is not allowed"),
        ("a: !!int x", "s:1:4: a: the text is not of the kind !!int"),
        (f"a: {'9' * 5000}", "s:1:4: a: a number of more than 400 digits"),
    ],
)
def test_what_is_not_a_plain_tree_is_refused_in_one_line(text: str, message: str) -> None:
    refused = refusal(text)
    assert refused.startswith(message)
    assert len(refused.splitlines()) == 1


def test_all_refusals_of_a_text_come_together() -> None:
    document = parse("a: &x [1, !y 2]\nb: *x\na: 3\n1: 2\n", "s")
    assert [position.line for position, _ in document.mistakes] == [1, 1, 2, 3, 4]
    assert document.tree == {"a": [1, None], "b": None}
    assert document.is_spoiled(("a", 1)) and document.is_spoiled(("b", "c")) and not document.is_spoiled(("a", 0))


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(), "a1.0: aliases (*a0) are not allowed"),
        ("[" * 100_000, "s:1:21: nested deeper than 20 levels"),
        ("a: " + "{b: " * 60_000, "s:1:80: nested deeper than 20 levels"),
        ("- " * 100_000, "s:1:41: nested deeper than 20 levels"),
        ("? " * 100_000, "s:1:41: nested deeper than 20 levels"),
        ("a: [" + "1," * 100_000, "s:1:19999: more than 10000 values"),
        ("\n".join(f"k{i}: 1" for i in range(6_000)), "s:5000:8: more than 10000 values"),
        ("a" * (MAX_BYTES + 1), "s:1:1: larger than 256 kB"),
        ("é" * (MAX_BYTES // 2 + 1), "s:1:1: larger than 256 kB"),
    ],
    ids=["aliases", "brackets", "braces", "dashes", "question marks", "list", "keys", "bytes", "characters"],
)
def test_bombs_are_answered_fast(text: str, message: str) -> None:
    begin = time.perf_counter()
    assert message in refusal(text)
    assert time.perf_counter() - begin < 5


def test_twenty_levels_are_accepted() -> None:
    assert refusal("a: " + "[" * 19 + "]" * 19) == ""
    assert "nested deeper" in refusal("a: " + "[" * 20 + "]" * 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name: a\nb: \xff", "s:2:4: not UTF-8 text"),
        ("name: a".encode("utf-16"), "s:1:1: not UTF-8 text"),
        (b"x" * (MAX_BYTES + 1), "s:1:1: larger than 256 kB"),
    ],
)
def test_bytes_that_are_not_a_small_utf8_text_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        decode(data, "s")


def test_a_byte_order_mark_and_crlf_do_not_shift_positions() -> None:
    text = decode(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "s")
    document = parse(text, "s")
    assert document.tree == {"a": 1, "b": 2}
    assert where(document, "a") == ((1, 1), (1, 4))
    assert where(document, "b") == ((2, 1), (2, 4))


def test_loading_a_file_with_bad_bytes_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "scen.yaml"
    file.write_bytes(b"name: \xe9")
    with pytest.raises(ScenarioError, match=r"scen\.yaml:1:7: not UTF-8 text"):
        load(file)
