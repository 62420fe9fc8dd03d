# SPDX-License-Identifier: Apache-2.0
"""Coverage for other tools: lcov's tracefile (geninfo(1)) and Cobertura's XML (its coverage-04.dtd).

Both count executions; what is counted here is how many scenarios and tests reach a line, and a line that only
deploying reaches counts as reached once.  A module without lines is in neither: it would seem to be covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import category

from lxml import etree

from harness.coverage.figures import ModuleFigures

LCOV, COBERTURA = "coverage.info", "coverage.xml"
_DOCTYPE = '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">'


def lcov(every: Sequence[ModuleFigures]) -> str:
    """A tracefile with one record for each source file of each module."""
    text = []
    for one in every:
        for file, lines in _by_file(one).items():
            functions = _functions(one, file)
            text += [f"TN:{_name(one.module.name)}", f"SF:{_plain(one.module.files[file].shown)}"]
            text += [f"FN:{line},{name}" for name, (line, _) in functions.items()]
            text += [f"FNDA:{int(reached)},{name}" for name, (_, reached) in functions.items()]
            text += [f"FNF:{len(functions)}", f"FNH:{sum(reached for _, reached in functions.values())}"]
            text += [f"DA:{line},{hits}" for line, hits in lines]
            text += [f"LF:{len(lines)}", f"LH:{sum(hits > 0 for _, hits in lines)}", "end_of_record"]
    return "\n".join([*text, ""])


def cobertura(every: Sequence[ModuleFigures], *, version: str, timestamp: int) -> bytes:
    """A report with one package for each module and one class for each source file.

    Args:
        every: the modules.
        version: of this program.
        timestamp: milliseconds since 1970.
    """
    reached = sum(one.line_share.reached for one in every)
    valid = sum(one.line_share.total for one in every)
    root = etree.Element("coverage", _rate(reached, valid))
    root.set("lines-covered", str(reached))
    root.set("lines-valid", str(valid))
    for key, value in (("branches-covered", "0"), ("branches-valid", "0"), ("complexity", "0")):
        root.set(key, value)
    root.set("version", version)
    root.set("timestamp", str(timestamp))
    etree.SubElement(etree.SubElement(root, "sources"), "source").text = "."
    packages = etree.SubElement(root, "packages")
    for one in every:
        share = one.line_share
        if not share.total:
            continue
        package = etree.SubElement(
            packages,
            "package",
            {"name": _plain(one.module.name), **_rate(share.reached, share.total), "complexity": "0"},
        )
        classes = etree.SubElement(package, "classes")
        for file, lines in _by_file(one).items():
            shown = _plain(one.module.files[file].shown)
            hit = sum(hits > 0 for _, hits in lines)
            made = etree.SubElement(
                classes,
                "class",
                {"name": shown, "filename": shown, **_rate(hit, len(lines)), "complexity": "0"},
            )
            etree.SubElement(made, "methods")
            _lines(made, lines)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", doctype=_DOCTYPE, pretty_print=True)


def _lines(parent: etree._Element, lines: Iterable[tuple[int, int]]) -> None:
    made = etree.SubElement(parent, "lines")
    for line, hits in lines:
        etree.SubElement(made, "line", number=str(line), hits=str(hits), branch="false")


def _rate(reached: int, total: int) -> dict[str, str]:
    """Rounded down: 1 is all of it; 0 where there is nothing that could be reached."""
    return {"line-rate": f"{reached * 10_000 // total / 10_000 if total else 0:.4f}", "branch-rate": "0"}


def _by_file(one: ModuleFigures) -> dict[int, list[tuple[int, int]]]:
    """Of each file its lines, ascending, with how often each counts as reached."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, (file, line) in enumerate(one.module.lines):
        found.setdefault(file, []).append((line, one.counts[number] or (one.lines >> number & 1)))
    return {file: sorted(lines) for file, lines in sorted(found.items())}


def _functions(one: ModuleFigures, file: int) -> dict[str, tuple[int, bool]]:
    """Of each name in a file its line and whether it was reached: both tools take a name for one function."""
    found: dict[str, tuple[int, bool]] = {}
    for number, function in enumerate(one.module.functions):
        if function.file != file or function.line is None:
            continue
        name = _plain(function.name) or f"+0x{function.offset:x}"
        line, reached = found.get(name, (function.line, False))
        found[name] = min(line, function.line), reached or bool(one.functions >> number & 1)
    return found


def _plain(text: str) -> str:
    """Without what would end a line of one, or may not stand in the other (XML 1.0, "Characters")."""
    bad = ("Cc", "Cs")  # control characters, halves of pairs
    return "".join("?" if category(letter) in bad or letter in "\ufffe\uffff" else letter for letter in text)


def _name(text: str) -> str:
    """A test's name, in which lcov allows letters, digits and the low line."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
