"""What travels between the grader and the process of a submission: lengths, JSON, and numbers as float64 bytes.

Never pickle, never code: whatever a submission writes here is read as data, at most a megabyte of it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from vaelib.reply import PRECISIONS, Arguments, NoReply, Reply, Seed, Tensor

LIMIT = 1 << 20  # bytes of one message
_HEAD = struct.Struct("!II")  # lengths of header and payload
KINDS = ("not attempted", "raised", "too slow", "no number", "not allowed")


class Broken(Exception):
    """What came is no message."""


def send(file: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    content = json.dumps(header).encode()
    if len(content) + len(payload) > LIMIT:
        raise ValueError(f"Expected a message of at most {LIMIT} bytes, but got {len(content) + len(payload)}.")
    file.write(_HEAD.pack(len(content), len(payload)) + content + payload)
    file.flush()


def receive(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes]:
    """One message; `read(n)` gives n bytes, or raises EOFError."""
    header_size, payload_size = _HEAD.unpack(read(_HEAD.size))
    if header_size + payload_size > LIMIT:
        raise Broken("a message of more than a megabyte")
    try:
        header = json.loads(read(header_size))
    except ValueError as error:
        raise Broken("a message that is no JSON") from error
    if not isinstance(header, dict):
        raise Broken("a message that is no object")
    return header, read(payload_size)


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
        kind = header["problem"] if header["problem"] in KINDS else "raised"
        raise NoReply(kind, str(header.get("text", ""))[:300])
    if "word" in header:
        return Reply(str(header["word"])[:200])
    try:
        shape = tuple(int(size) for size in header["shape"])
        numbers = np.frombuffer(payload, "<f8")
        if header.get("error"):
            value, error = (part.reshape(shape) for part in np.split(numbers, 2))
        else:
            value, error = numbers.reshape(shape), None
    except (KeyError, TypeError, ValueError) as problem:
        raise Broken("a reply whose shape and bytes do not fit") from problem
    precision = header.get("precision")
    return Reply(value, precision if precision in PRECISIONS else "float64", error)
