# SPDX-License-Identifier: Apache-2.0
"""What the self-test leaves: a table as JSON and as a page of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from harness.selftest.case import Finding
from vm.files import write_whole

JSON, HTML = "selftest.json", "selftest.html"


def write(findings: Sequence[Finding], out: Path, about: Mapping[str, Any]) -> None:
    """Both files; texts of a guest are escaped.

    Args:
        findings: one a case.
        out: the directory.
        about: `version`, `guest`, `started`, `seconds`, `short`, `host`.
    """
    rows = [finding.as_dict() for finding in findings]
    value = {**about, "ok": all(finding.ok for finding in findings), "cases": rows}
    write_whole(out / JSON, json.dumps(value, indent=1, default=str) + "\n", 0o644)
    environment = Environment(
        loader=PackageLoader("harness.selftest"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("selftest.html.j2").render(value)
    write_whole(out / HTML, page.encode("utf-8", errors="replace"), 0o644)
