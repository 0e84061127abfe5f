"""What travels between the grader and the process of a submission: lengths, JSON, and numbers as float64 bytes.

Never pickle, never code: whatever a submission writes here is read as data, at most a megabyte of it at a time. What is
no message, in whatever way, is `Broken`, and nothing else is raised.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from vaelib.reply import PRECISIONS, Arguments, NoReply, Reply, Seed, Tensor
from vaelib.values import LONGEST_FORMULA
from vaelib.variant import LONGEST as LONGEST_SOURCE

LIMIT = 1 << 20  # bytes of one message from a submission
TRUSTED = 64 << 20  # of one message to it, or between the grader's own processes
HEAD = struct.Struct("!II")  # lengths of header and payload
KINDS = ("not attempted", "raised", "too slow", "no number", "not allowed")
Message = tuple[dict[str, Any], bytes]


class Broken(Exception):
    """What came is not a message."""


def encoded(header: dict[str, Any], payload: bytes = b"", limit: int = LIMIT) -> bytes:
    """A message as bytes; raises ValueError if it is too long to be sent."""
    content = json.dumps(header).encode()
    if len(content) + len(payload) > limit:
        raise ValueError(f"Expected a message of at most {limit} bytes, but got {len(content) + len(payload)}.")
    return HEAD.pack(len(content), len(payload)) + content + payload


def receive(read: Callable[[int], bytes], limit: int = LIMIT) -> Message:
    """One message; `read(n)` gives n bytes, or raises."""
    header_size, payload_size = HEAD.unpack(read(HEAD.size))
    if header_size + payload_size > limit:
        raise Broken(f"a message of more than {limit >> 20} MB")
    try:
        header = json.loads(read(header_size))
    except (ValueError, RecursionError) as error:  # too deep, or a number of too many digits
        raise Broken("a message that is not JSON") from error
    if not isinstance(header, dict):
        raise Broken("a message that is not an object")
    return header, read(payload_size)


def text(value: Any, most: int = 300) -> str:
    """What a submission sent, as text that can be written to any file: lone surrogates become escapes."""
    given = value if isinstance(value, str) else f"({type(value).__name__})"
    return given[:most].encode("utf-8", "backslashreplace").decode()[: 2 * most]


# ------------------------------------------------------------------------------------------------------- questions


def packed(arguments: Arguments) -> tuple[dict[str, Any], bytes]:
    """Arguments as JSON, and the bytes of their arrays one after the other."""
    described: dict[str, Any] = {}
    payload = b""
    for name, value in arguments.items():
        if isinstance(value, Seed):
            described[name] = {"seed": value.number}
        elif isinstance(value, np.ndarray | Tensor):
            array = np.asarray(value.array if isinstance(value, Tensor) else value)
            kind = "tensor" if isinstance(value, Tensor) else "array"
            described[name] = {kind: list(array.shape), "dtype": array.dtype.str}
            payload += np.ascontiguousarray(array).tobytes()
        elif type(value) in (int, float, str, bool):
            described[name] = {"plain": value}
        else:
            raise TypeError(f"Expected `{name}` to be a number, a word, an array or a Seed, but got {value!r}.")
    return described, payload


def unpacked(described: dict[str, Any], payload: bytes) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    start = 0
    for name, how in described.items():
        if "seed" in how:
            arguments[name] = Seed(how["seed"])
        elif "plain" in how:
            arguments[name] = how["plain"]
        else:
            shape = how.get("array", how.get("tensor"))
            dtype = np.dtype(how["dtype"])
            size = int(np.prod(shape)) * dtype.itemsize
            array = np.frombuffer(payload[start : start + size], dtype).reshape(shape).copy()
            start += size
            arguments[name] = Tensor(array) if "tensor" in how else array
    return arguments


# --------------------------------------------------------------------------------------------------------- replies


def packed_reply(reply: Reply) -> tuple[dict[str, Any], bytes]:
    if isinstance(reply.value, str):
        return {"word": reply.value}, b""
    header = {"shape": list(reply.value.shape), "precision": reply.precision, "error": reply.error is not None}
    payload = np.ascontiguousarray(reply.value, "<f8").tobytes()
    if reply.error is not None:
        payload += np.ascontiguousarray(np.broadcast_to(reply.error, reply.value.shape), "<f8").tobytes()
    return header, payload


def unpacked_reply(header: dict[str, Any], payload: bytes) -> Reply:
    """The reply in a message from a submission, which may be anything; raises NoReply or Broken."""
    if "problem" in header:
        kind = next((kind for kind in KINDS if kind == header["problem"]), "raised")
        raise NoReply(kind, text(header.get("text", "")))
    if "word" in header:
        return Reply(text(header["word"], LONGEST_FORMULA))
    try:
        shape = tuple(int(size) for size in header["shape"])
        numbers = np.frombuffer(payload, "<f8")
        if header.get("error") is True:
            value, error = (part.reshape(shape) for part in np.split(numbers, 2))
        else:
            value, error = numbers.reshape(shape), None
        precision = str(header.get("precision"))
    except Exception as problem:  # whatever it is: it was sent to be a problem
        raise Broken("a reply whose shape and bytes do not fit") from problem
    return Reply(value, precision if precision in PRECISIONS else "float64", error)


def unpacked_source(header: dict[str, Any], payload: bytes) -> tuple[str, int, list[str]]:
    """The source of an answer, its first line in its cell, and the libraries that it could use."""
    if "source" not in header:
        unpacked_reply(header, payload)
        raise Broken("no source")
    line, modules = header.get("line"), header.get("modules")
    if type(line) is not int or not 1 <= line <= LONGEST_SOURCE or not isinstance(modules, list):
        raise Broken("a source without its place")
    return text(header["source"], LONGEST_SOURCE), line, [text(name) for name in modules[:100]]


def unpacked_lines(header: dict[str, Any], payload: bytes) -> list[tuple[str, str]]:
    """The lines of a derivation in a message from a submission: (relation, term as typed)."""
    if "lines" not in header:
        unpacked_reply(header, payload)
        raise Broken("no lines")
    lines = header["lines"]
    if not isinstance(lines, list) or not all(isinstance(line, list) and len(line) == 2 for line in lines):
        raise Broken("lines that are none")
    return [(text(relation, 20), text(term, 2000)) for relation, term in lines[:100]]
