# SPDX-License-Identifier: Apache-2.0
"""junit.xml of a cell: each item once, with its verdict as results.jsonl has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lxml import etree

from harness.verdict import Verdict
from vm.files import write_whole

_TAGS = {Verdict.SKIPPED: "skipped", Verdict.ERROR: "error"}
_OUTCOMES = ("failure", "error", "skipped")
#: By name and file as a host says them: the node id here, where the item is one of ours.
Find = Callable[[str, str], str | None]


def write_junit(
    into: Path, records: Sequence[Mapping[str, Any]], found: Sequence[tuple[str, Path]], find: Find
) -> None:
    """Writes it, from what leases have left (hosts and files, in their order) and from the merged records.

    An entry of a host stands where it says what the records say; else one is made of the record.
    """
    cases: dict[tuple[str, str], etree._Element] = {}
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    for host, path in found:
        try:
            root = etree.parse(str(path), parser).getroot()
        except (OSError, etree.XMLSyntaxError):
            continue
        for case in root.iter("testcase"):
            key = find(case.get("name", ""), case.get("file", ""))
            if key is not None:
                _add_property(case, "host", host)
                cases[key, _outcome(case)] = case
    suite = etree.Element("testsuite", name="pytest")
    run: Mapping[str, Any] = next((r for r in records if r["kind"] == "run"), {})
    tally = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for record in records:
        if record["kind"] not in ("scenario", "test"):
            continue
        key = str(record["id"]) if record["kind"] == "test" else f"{record['file']}::{record['id']}"
        outcome = _wanted(Verdict(record["verdict"]))
        case = cases.get((key, outcome))
        suite.append(_made(record, key, outcome) if case is None else _renamed(case, key))
        tally["tests"] += 1
        if outcome != "passed":
            tally[{"failure": "failures", "error": "errors"}.get(outcome, outcome)] += 1
    for name, count in tally.items():
        suite.set(name, str(count))
    suite.set("time", str(run.get("seconds", 0)))
    suite.set("timestamp", str(run.get("started", "")))
    whole = etree.Element("testsuites", name="pytest tests")
    whole.append(suite)
    write_whole(into, etree.tostring(whole, xml_declaration=True, encoding="utf-8"), mode=0o644)


def _wanted(verdict: Verdict) -> str:
    return "passed" if verdict is Verdict.PASSED else _TAGS.get(verdict, "failure")


def _outcome(case: etree._Element) -> str:
    return next((tag for tag in _OUTCOMES if case.find(tag) is not None), "passed")


def _made(record: Mapping[str, Any], key: str, outcome: str) -> etree._Element:
    file, _, name = key.partition("::")
    case = etree.Element("testcase", classname=_class(file), name=_text(name), file=_text(file))
    _add_property(case, "verdict", str(record["verdict"]))
    for attempt in record.get("attempts") or ():
        _add_property(case, "attempt", f"{attempt.get('verdict')}: {attempt.get('reason')}")
    if outcome != "passed":
        message = _text(str(record.get("reason") or record["verdict"]))
        etree.SubElement(case, outcome, message=message).text = message
    return case


def _renamed(case: etree._Element, key: str) -> etree._Element:
    file, _, _ = key.partition("::")
    case.set("file", _text(file))
    case.set("classname", _class(file))
    return case


def _class(file: str) -> str:
    return _text(file.strip("/").replace("/", "."))


def _add_property(case: etree._Element, name: str, value: str) -> None:
    properties = case.find("properties")
    if properties is None:
        properties = etree.Element("properties")
        case.insert(0, properties)
    etree.SubElement(properties, "property", name=name, value=_text(value))


def _text(text: str) -> str:
    """What XML can hold of a text."""
    return "".join(
        c if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff") else "\ufffd" for c in text
    )
