"""What travels between the grader and a submission: it arrives unchanged, and nonsense is refused."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from vaelib.grade import wire
from vaelib.reply import NoReply, Reply, Seed, Tensor


def test_arguments_travel_unchanged() -> None:
    arguments = {
        "a": 1.5,
        "n": 3,
        "word": "up",
        "seed": Seed(7),
        "x": np.arange(6.0).reshape(2, 3),
        "k": np.array([1, 2]),
        "t": Tensor(np.float32([[1, 2]])),
        "zero": np.zeros((0, 2)),
    }
    described, payload = wire.packed(arguments)
    again = wire.unpacked(json.loads(json.dumps(described)), payload)
    assert list(again) == list(arguments)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            assert again[name].dtype == value.dtype and again[name].shape == value.shape
            np.testing.assert_array_equal(again[name], value)
        elif isinstance(value, Tensor):
            np.testing.assert_array_equal(again[name].array, value.array)
        else:
            assert again[name] == value


@pytest.mark.parametrize(
    "reply",
    [Reply(np.float64(2.0)), Reply(np.ones((2, 3)), "float32"), Reply(np.ones(2), error=np.array(0.1)), Reply("up")],
)
def test_replies_travel_unchanged(reply: Reply) -> None:
    again = wire.unpacked_reply(*wire.packed_reply(reply))
    assert again.precision == reply.precision and np.all(again.value == reply.value)
    assert np.shape(again.value) == np.shape(reply.value)
    assert (again.error is None) == (reply.error is None)


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({}, b""),
        ({"shape": [2]}, b"123"),
        ({"shape": "x"}, b""),
        ({"shape": [-1, 3]}, b"12345678"),
        ({"shape": [10**9]}, b""),
        ({"shape": [float("inf")]}, b""),
        ({"shape": [float("nan")]}, b""),
        ({"shape": [1e400]}, b"12345678"),
        ({"shape": [[[]]]}, b"12345678"),
        ({"shape": [1] * 100}, b"12345678"),
        ({"shape": [3], "error": True}, b"12345678" * 3),
        ({"shape": {"a": 1}}, b"12345678"),
        ({"shape": None}, b""),
    ],
)
def test_nonsense_from_a_submission_is_refused(header: dict[str, Any], payload: bytes) -> None:
    with pytest.raises(wire.Broken):
        wire.unpacked_reply(header, payload)


def test_message_of_more_than_a_megabyte_is_neither_sent_nor_read() -> None:
    with pytest.raises(ValueError, match="at most"):
        wire.encoded({}, b"x" * (wire.LIMIT + 1))
    head = wire.HEAD.pack(10, wire.LIMIT)
    with pytest.raises(wire.Broken):
        wire.receive(io.BytesIO(head).read)


@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b'{"x": ' + b"9" * 10_000 + b"}", b"\xff\xfe", b"", b"null", b"NaN"]
)
def test_header_that_is_no_object_is_broken(header: bytes) -> None:
    content = io.BytesIO(wire.HEAD.pack(len(header), 0) + header)
    with pytest.raises(wire.Broken):
        wire.receive(content.read)


@pytest.mark.parametrize("lines", [None, "ab", [["=", "x", "y"]], [1], [[]], {"a": "b"}])
def test_lines_that_are_none_are_broken(lines: Any) -> None:
    with pytest.raises(wire.Broken):
        wire.unpacked_lines({"lines": lines}, b"")


SOURCE = {"source": "def f():\n    return 1", "line": 3, "modules": ["numpy", "math"]}


def test_source_travels_with_its_place_and_its_libraries() -> None:
    assert wire.unpacked_source(SOURCE, b"") == (SOURCE["source"], 3, ["numpy", "math"])
    long = wire.unpacked_source(SOURCE | {"line": wire.LONGEST_SOURCE, "modules": ["m"] * 101}, b"")
    assert long[1:] == (wire.LONGEST_SOURCE, ["m"] * 100)


@pytest.mark.parametrize(
    "change", [{"line": 0}, {"line": wire.LONGEST_SOURCE + 1}, {"line": True}, {"line": "3"}, {"modules": None}]
)
def test_source_without_its_place_is_broken(change: dict[str, Any]) -> None:
    with pytest.raises(wire.Broken, match="a source without its place"):
        wire.unpacked_source(SOURCE | change, b"")


def test_lines_are_texts_of_a_bounded_length() -> None:
    lines = wire.unpacked_lines(
        {"lines": [["=", "x" * 9999], [None, [[]]], ["\ud800", "\ud800"]] + [["=", "x"]] * 500}, b""
    )
    assert len(lines) == 100 and len(lines[0][1]) == 2000 and lines[1] == ("(NoneType)", "(list)")
    "".join(part for line in lines for part in line).encode()


@pytest.mark.parametrize("odd", ["\ud800", "a\udfffb", 3, None, [[]], {"x": 1}, "x" * 1000])
def test_any_text_can_be_written_and_is_bounded(odd: Any) -> None:
    assert len(wire.text(odd).encode()) <= 900


def test_precision_and_kind_of_any_type_are_taken_for_the_usual_ones() -> None:
    assert wire.unpacked_reply({"shape": [], "precision": [{}]}, b"\0" * 8).precision == "float64"
    with pytest.raises(NoReply) as caught:
        wire.unpacked_reply({"problem": [{}], "text": {"deep": [1]}}, b"")
    assert caught.value.kind == "raised" and caught.value.text == "(dict)"


def test_problem_becomes_no_reply_of_a_known_kind() -> None:
    with pytest.raises(NoReply) as caught:
        wire.unpacked_reply({"problem": "right", "text": "x" * 1000}, b"")
    assert caught.value.kind == "raised" and len(caught.value.text) == 300
