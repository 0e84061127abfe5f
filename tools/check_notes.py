r"""How well `vaelib check` reads people's documents: a table over a folder of notes with their errors listed.

    python tools/check_notes.py FOLDER [FILE ...] [--all]

The folder holds NN.md files and a notes.json: [{"file", "wrong": [{"kind", "where", "what", "repair"}, ...]}, ...].
A listed error counts as found if a line of a chain that its `where` quotes does not follow; each accusation counts
once, and what is left over is shown as not listed, to be looked at by a person. Without FILE all are read; `--all`
shows each line.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

from vaelib.check import Checked, check
from vaelib.check.chains import Line, chains
from vaelib.check.document import prepared
from vaelib.check.documents import document
from vaelib.check.verdicts import Judged

SHOWN = 100


def blocks(text: str) -> list[tuple[int, int]]:
    """The first and last row of each paragraph."""
    found: list[tuple[int, int]] = []
    start = 0
    for row, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip() and not start:
            start = row
        elif not line.strip() and start:
            found.append((start, row - 1))
            start = 0
    return found


def located(where: str, text: str, before: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The rows of the blocks that a remark may speak of."""
    quoted = re.search(r"`([^`]*)`", where)
    parts = blocks(text)
    if where.startswith("the same"):
        return before or parts
    if quoted is None:
        return parts[-1:] if "last" in where else before or parts
    squeezed = [part for part in re.sub(r"[\s&]", "", quoted.group(1)).replace("...", "..").split("..") if part]
    found = []
    for first, last in parts:
        body = re.sub(r"[\s&]", "", "".join(text.split("\n")[first - 1 : last]))
        if squeezed and all(part in body for part in squeezed):
            found.append((first, last))
    return found or before


def chained(checked: Checked) -> list[set[int]]:
    """The rows of each chain."""
    found: list[set[int]] = []
    for judged in checked.lines:
        if judged.line.relation == "" or not found:
            found.append(set())
        found[-1].add(judged.line.row)
    return found


def corrected(text: str, repair: str, places: list[tuple[int, int]]) -> str:
    """The text with a listed repair made in these rows: each `a` -> `b`, as often as "twice" says; "" if it is none."""
    rows = text.split("\n")
    changes = re.findall(r"`([^`]+)` -> `([^`]+)`", repair)
    for first, last in places:
        part = "\n".join(rows[first - 1 : last])
        done = part
        for old, new in changes:
            pattern = r"\s*".join(re.escape(word) for word in re.findall(r"\\[a-zA-Z]+|\S", old))
            done = re.sub(pattern, lambda match, new=new: f" {new} ", done, count=0 if "twice" in repair else 1)
        if done != part:
            return "\n".join([*rows[: first - 1], *done.split("\n"), *rows[last:]])
    return ""


def compared_repair(checked: Checked, hit: Judged, repair: str, text: str, places: list[tuple[int, int]]) -> str:
    """Whether the repair of a line is worth the listed one, on all settings: both are put to the same judge."""
    if not hit.repair:
        return "none"
    right = corrected(text, repair, places)
    if not right:
        return "not compared: the listed repair is in words"
    judge, found = prepared(document("-", right, "markdown"))
    lines: list[Line] = []
    for chain in found:
        judge.chain(chain)
        lines += chain.lines
    at = checked.lines.index(hit)
    mine = chains(document("-", f"$${hit.repair}$$", "markdown"))[0].lines[0]
    same = any(judge.pair(line, "=", mine).verdict in ("follows", "sloppy") for line in lines[max(0, at - 1) : at + 1])
    return "equal to the listed one" if same else "another one"


def compared(checked: Checked, listed: list[dict[str, str]], text: str, repairs: Counter[str]) -> tuple[int, list[str]]:
    """How many of the listed errors were found, and the accusations that belong to none."""
    accused = [judged for judged in checked.lines if judged.verdict == "does not follow"]
    found, said = 0, []
    places: list[tuple[int, int]] = []
    for wrong in listed:  # errors first: what is listed as sloppy takes what is left
        places = located(wrong["where"], text, places)
        rows = {
            row for chain in chained(checked) if any(f <= r <= la for r in chain for f, la in places) for row in chain
        }
        hit = next((a for a in accused if a.line.row in rows), None)
        if hit is not None and wrong["kind"] == "error":
            repairs[compared_repair(checked, hit, wrong["repair"], text, places)] += 1
            said.append(f"  row {hit.line.row}, listed: {wrong['repair'][:SHOWN]}; repair: {hit.repair or 'none'}")
        if wrong["kind"] == "error":
            found += hit is not None
            if hit is None:
                said.append(f"  missed: {wrong['where'][:SHOWN]}: {wrong['what'][:SHOWN]}")
        if hit is not None:
            accused.remove(hit)
            if wrong["kind"] != "error":
                said.append(f"  accused, listed as {wrong['kind']}: row {hit.line.row}: {hit.line.source[:SHOWN]}")
    said += [f"  NOT LISTED: row {a.line.row}: {a.line.source[:SHOWN]} | {a.says} {a.values}" for a in accused]
    return found, said


def main(arguments: list[str]) -> int:
    folder, names = Path(arguments[0]), [a for a in arguments[1:] if not a.startswith("--")]
    notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
    total: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    print(f"{'file':8}{'lines':>6}{'judged':>7}{'unread':>7}{'none':>6}{'errors':>10}{'time':>8}")
    for note in notes:
        name = note["file"]
        if names and name.removesuffix(".md") not in names:
            continue
        text = (folder / name).read_text(encoding="utf-8")
        start = time.perf_counter()
        checked = check(str(folder / name))
        seconds = time.perf_counter() - start
        kinds = Counter(judged.verdict for judged in checked.lines)
        errors = sum(wrong["kind"] == "error" for wrong in note["wrong"])
        wrong = sorted(note["wrong"], key=lambda entry: entry["kind"])
        found, said = compared(checked, wrong, text, repairs)
        total.update(lines=checked.total, judged=checked.judged, errors=errors, found=found, ms=int(1000 * seconds))
        total.update(unread=kinds["cannot be read"], none=kinds["no meaning"])
        total.update(
            unlisted=sum("NOT LISTED" in line for line in said), sloppy=sum("accused" in line for line in said)
        )
        print(
            f"{name:8}{checked.total:>6}{checked.judged:>7}{kinds['cannot be read']:>7}{kinds['no meaning']:>6}"
            f"{f'{found} of {errors}':>10}{seconds:>7.2f}s"
        )
        print("\n".join(said) + "\n" * bool(said), end="")
        if "--all" in arguments:
            for judged in checked.lines:
                print(
                    f"    {judged.line.row:4} {judged.verdict:16} {judged.line.source[:SHOWN]} | {judged.says[:SHOWN]}"
                )
    print(
        f"{total['judged']} of {total['lines']} lines judged ({total['judged'] / max(1, total['lines']):.0%}), "
        f"{total['unread']} not read, {total['none']} without meaning; {total['found']} of {total['errors']} listed "
        f"errors found; {total['unlisted']} accusations not listed, {total['sloppy']} listed as sloppy; "
        f"{total['ms'] / 1000:.1f} s"
    )
    print("repairs of the errors found:", ", ".join(f"{count} {kind}" for kind, count in repairs.most_common()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
