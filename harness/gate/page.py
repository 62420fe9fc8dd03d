# SPDX-License-Identifier: Apache-2.0
"""The verdict for people and for other pages: as plain data, as Markdown, and as one page of HTML.

A site of nights takes `data` for its own pages, or links the page that `html` makes: it has no outside
resources.  What came from a guest is escaped in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from harness import guest_text
from harness.gate.rule_names import TITLES
from harness.gate.verdict import GateVerdict, RunUsed

#: Lines of one list in a summary.
_SHOWN = 20
_LONG = 300
_MOST = 20_000


def data(said: GateVerdict, statement: str | None = None) -> dict[str, Any]:
    """Everything that the gate says, as JSON has it (docs/gate.md).

    Args:
        said: the verdict.
        statement: SHA-256 of the statement's file, where one was signed.
    """
    policy = said.policy.policy
    return {
        "schema": 1,
        "verdict": "yes" if said.yes else "no",
        "at": _when(said.at),
        "policy": {"name": policy.name, "sha256": said.policy.sha256},
        "candidate": {
            "target": policy.target.name,
            "package": said.candidate.digest or None,
            "version": said.version,
            "catalogue": said.candidate.catalogue or None,
            "files": dict(said.candidate.files),
            "beside": list(said.candidate.beside),
        },
        "released": said.released,
        "rules": [
            {
                "rule": one.rule.value,
                "title": TITLES[one.rule],
                "ok": one.ok,
                "said": list(one.said),
                "runs": list(one.runs),
            }
            for one in said.rules
        ],
        "counts": said.counts,
        "runs": [_run(one) for one in said.runs],
        "selftests": [
            {
                "started": _when(one.started),
                "selected": one.selected,
                "cases": one.cases,
                "sha256": one.digest,
            }
            for one in said.selftests
        ],
        "waivers": [
            {
                "id": file.name,
                "owner": file.waiver.owner if file.waiver else None,
                "expires": str(file.waiver.expires) if file.waiver else None,
                "why": file.waiver.why if file.waiver else None,
                "scenario": scenario,
            }
            for scenario, _, file in said.waived
        ],
        "idle_waivers": list(said.idle),
        "skipped": [{"scenario": name, "reason": reason} for name, reason in said.not_covered.skipped],
        "never_accepted": list(said.not_covered.never_accepted),
        "not_counted": list(said.not_covered.not_counted),
        "todo": [["kshs", *words] for words in said.todo],
        "statement": statement,
    }


def _run(used: RunUsed) -> dict[str, Any]:
    run, conditions = used.run, used.run.conditions
    return {
        "name": run.name,
        "role": used.role,
        "counted": used.counted,
        "started": _when(run.started),
        "guest": conditions.recipe,
        "kernel": conditions.kernel,
        "kernel_build": conditions.kernel_build,
        "ks_sha256": conditions.ks_digest,
        "verifier": conditions.verifier,
        "image": conditions.image,
        "image_made": _when(used.proof.image_made),
        "package": conditions.package,
        "results": used.proof.results,
        "counts": dict(used.counts),
    }


def html(page: Mapping[str, Any]) -> bytes:
    """The page of what `data` gives."""
    environment = Environment(
        loader=PackageLoader("harness.gate"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seen"] = lambda text: guest_text.lines(str(text), _MOST)
    made = environment.get_template("gate.html.j2").render(page)
    return made.encode("utf-8", errors="replace")


def markdown(page: Mapping[str, Any]) -> str:
    """A summary for a merge request or a release's notes."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Mapping[str, Any]) -> Iterator[str]:
    candidate = page["candidate"]
    package = str(candidate["package"] or "")[:12] or "not known"
    yield f"## Gate {_code(page['policy']['name'])}: {page['verdict']}"
    yield ""
    version = f", version {_code(candidate['version'])}" if candidate["version"] else ""
    yield f"{_code(candidate['target'])}, package {_code(package)}{version}; {_code(page['at'])}"
    yield ""
    yield "| rule | | |"
    yield "|---|---|---|"
    for rule in page["rules"]:
        first = rule["said"][0] if rule["said"] else rule["title"]
        more = f" and {len(rule['said']) - 1} more" if len(rule["said"]) > 1 else ""
        yield f"| {rule['rule']} | {'holds' if rule['ok'] else '**no**'} | {_code(first)}{more} |"
    yield ""
    yield ", ".join(f"{count} {verdict}" for verdict, count in page["counts"].items())
    for title, rows in (
        ("Waived", [f"{one['scenario']}: {one['id']}, {one['owner']}" for one in page["waivers"]]),
        ("Waivers that do nothing", page["idle_waivers"]),
        ("Not tested", [f"{one['scenario']}: {one['reason']}" for one in page["skipped"]]),
        ("Never accepted", page["never_accepted"]),
        ("Runs that do not count", page["not_counted"]),
        ("To be run", [" ".join(words) for words in page["todo"]]),
    ):
        yield from _listed(title, rows)


def _listed(title: str, rows: Sequence[str]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield f"### {title}: {len(rows)}"
    yield ""
    for row in rows[:_SHOWN]:
        yield f"- {_code(row)}"
    if len(rows) > _SHOWN:
        yield f"- and {len(rows) - _SHOWN} more"


def _code(text: object) -> str:
    """Text that a guest may have a part in: no links, no names that are told, no cells of its own."""
    shown = guest_text.one_line(str(text), _LONG).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _when(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"
