# SPDX-License-Identifier: Apache-2.0
"""Coverage for other tools: lcov's tracefile (geninfo(1)) and Cobertura's XML (its coverage-04.dtd).

Both count executions; what is counted here is how many scenarios and tests reach a line, and a line that only
deploying reaches counts as reached once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lxml import etree

from harness.coverage.figures import ModuleFigures
from harness.coverage.model import CoveredFunction

LCOV, COBERTURA = "coverage.info", "coverage.xml"
_DOCTYPE = '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">'


def lcov(every: Sequence[ModuleFigures]) -> str:
    """A tracefile with one record for each source file of each module."""
    text = []
    for one in every:
        for file, lines in _by_file(one).items():
            functions = [(f, reached) for f, reached in _functions(one, file) if f.line is not None]
            text += [f"TN:{_name(one.module.name)}", f"SF:{one.module.files[file].shown}"]
            text += [f"FN:{function.line},{function.name}" for function, _ in functions]
            text += [f"FNDA:{int(reached)},{function.name}" for function, reached in functions]
            text += [f"FNF:{len(functions)}", f"FNH:{sum(reached for _, reached in functions)}"]
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
        package = etree.SubElement(
            packages,
            "package",
            {"name": one.module.name, **_rate(share.reached, share.total), "complexity": "0"},
        )
        classes = etree.SubElement(package, "classes")
        for file, lines in _by_file(one).items():
            shown = one.module.files[file].shown
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
    return {"line-rate": f"{reached / total if total else 1:.4f}", "branch-rate": "0"}


def _by_file(one: ModuleFigures) -> dict[int, list[tuple[int, int]]]:
    """Of each file its lines, ascending, with how often each counts as reached."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, (file, line) in enumerate(one.module.lines):
        found.setdefault(file, []).append((line, one.counts[number] or (one.lines >> number & 1)))
    return {file: sorted(lines) for file, lines in sorted(found.items())}


def _functions(one: ModuleFigures, file: int) -> list[tuple[CoveredFunction, bool]]:
    every = enumerate(one.module.functions)
    return [(function, bool(one.functions >> n & 1)) for n, function in every if function.file == file]


def _name(text: str) -> str:
    """A test's name, in which lcov allows letters, digits and the low line."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
