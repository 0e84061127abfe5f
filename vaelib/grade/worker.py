"""The process of one submission: runs its code cells, then answers questions, until nobody asks any more.

Questions come through standard input, replies go through standard output, and what the submission prints goes to
standard error. It knows no answer, and nothing that it says is more than a value to be judged elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from vaelib.grade import audit, stand_in, wire
from vaelib.grade.cells import Notebook, said
from vaelib.grade.limits import Limits, die_with_the_one_who_started_this, limit_this_process
from vaelib.grade.removal import Removal
from vaelib.reply import Answer, NoReply, is_blank
from vaelib.variant import Original, original, variant

originals: dict[int, Original | None] = {}  # by the identity of an answer


class Output:
    """Sends messages, each whole, from whatever thread."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._lock = threading.RLock()

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        content = wire.encoded(header, payload)
        with self._lock:
            self._target.write(content)
            self._target.flush()


def main() -> None:
    """Started by `isolation.start` with its settings as JSON."""
    settings = json.loads(sys.argv[1])
    parent = settings["parent"]
    if parent:
        die_with_the_one_who_started_this(parent)
    source, output = _take_over_pipes()
    sys.argv[:] = ["notebook"]
    unset = limit_this_process(Limits(**settings["limits"]), settings["processes"])
    output.send({"hello": True, "unset": unset})

    begin, _ = wire.receive(_exactly(source), wire.TRUSTED)
    kinds = tuple(begin["kinds"])
    notebook = Notebook(Removal(kinds))
    own = Path.cwd()
    sys.path.insert(0, str(own))
    audit.watch(lambda text: output.send({"odd": text[:300]}), own.parent, Path(stand_in.__file__).parents[2])
    for index, cell in enumerate(begin["cells"]):
        output.send({"cell": index})
        failures = [] if index in begin["skipped"] else notebook.run(index, cell)
        for failure in [f for f in failures if not f.forbidden][:1]:  # at most one of each is told
            output.send({"cell": index, "error": str(failure)[:300]})
        for failure in [f for f in failures if f.forbidden][:1]:
            output.send({"cell": index, "forbidden": failure.forbidden[:300]})
    _flush()
    output.send({"ready": True})
    with contextlib.suppress(EOFError):
        while True:
            question, payload = wire.receive(_exactly(source), wire.TRUSTED)
            _reply(notebook, output, question, payload)
            _flush()
    os._exit(0)  # whatever waits for the end of the process


def _take_over_pipes() -> tuple[BinaryIO, Output]:
    """Keeps the pipes under separate numbers; what is printed, by whatever library, goes to standard error."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return source, Output(target)


def _exactly(source: BinaryIO) -> Any:
    def read(size: int) -> bytes:
        content = source.read(size)
        if len(content) < size:
            raise EOFError
        return content

    return read


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()


def _reply(notebook: Notebook, output: Output, question: dict[str, Any], payload: bytes) -> None:
    """Sends what the answer says to one question, or why it says nothing; nothing that it does raises."""
    name, of = question["name"], {"of": question["of"]}
    try:
        answer = Answer(_answer(notebook, question["id"], name), question["seconds"])
        if "changed" in question:
            header, content = _changed(answer, question, payload)
            output.send(of | header, content)
            return
        if is_blank(answer.content) and (failure := notebook.absent(name)) is not None:
            kind = "not allowed" if failure.forbidden else "not attempted"
            raise NoReply(kind, failure.forbidden or f"There is no `{name}`. {failure}")
        if question["lines"]:
            output.send(of | {"lines": answer.lines()})
        else:
            header, content = wire.packed_reply(answer.ask(wire.unpacked(question["arguments"], payload)))
            output.send(of | header, content)
    except NoReply as reason:
        output.send(of | _problem(notebook, reason, reason.__cause__))
    except BaseException as error:  # an odd object, or a reply that is too long to be sent
        output.send(of | {"problem": "no number", "text": said(error)[:300]})


def _changed(answer: Answer, question: dict[str, Any], payload: bytes) -> wire.Message:
    """The source of the answer, where that is at hand; or what the answer with another source replies, as numbers."""
    key = id(answer.content)
    if key not in originals:
        originals[key] = original(answer.content)
    of = originals[key]
    if of is None:
        raise NoReply("no number", "There is no source to be changed.")
    if not question["changed"]:
        return {"source": of.source, "line": of.line, "modules": of.modules}, b""
    try:
        answer.content = variant(of, question["changed"])
    except ValueError as error:
        raise NoReply("no number", str(error)) from None
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return wire.packed_reply(answer.ask(wire.unpacked(question["arguments"], payload)))


def _answer(notebook: Notebook, id: str, name: str) -> Any:
    """What was checked under the exercise's id, of several what has its name; otherwise what has its name."""
    checked, named = stand_in.checked.get(id, []), notebook.namespace.get(name)
    if not checked or any(answer is named for answer in checked):
        return named
    return checked[-1]


def _problem(notebook: Notebook, reason: NoReply, cause: BaseException | None) -> dict[str, Any]:
    """The reason with what led to it: a name that is missing since an earlier statement failed, or is forbidden."""
    kind, text = reason.kind, reason.text
    failure = notebook.missing(cause)
    if cause is not None and (forbidden := notebook.removal.explains(cause) or notebook.why(cause)):
        kind, text = "not allowed", forbidden
    elif failure is not None:
        text = f"{said(cause)}, since {failure}" if cause is not None else text
    return {"problem": kind, "text": text[:300]}
