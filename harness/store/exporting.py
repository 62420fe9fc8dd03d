# SPDX-License-Identifier: Apache-2.0
"""A run out of the store, as a results.jsonl that another store takes: with what the store keeps, no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from harness.results.parts import SCHEMA
from harness.store.lists import Listed, ListedStep, load_lists
from harness.store.models import NUMBERS, Attempt, Guest, Incident, Run, Scenario, Signature, Target


def records(connection: Connection, run_id: int) -> Iterator[dict[str, Any]]:
    """The lines of one run, in the order of docs/results.md."""
    run = _row(connection, Run, run_id)
    guest = _row(connection, Guest, run["guest_id"])
    target = _row(connection, Target, run["target_id"])
    yield _head(run, guest, target)
    if guest["kernel"] is not None:
        yield _environment(guest, target) | {"host": _host(guest) | _dates(run)}
    query = (
        select(
            Attempt.__table__, Scenario.name, Scenario.file, Scenario.content, Scenario.title, Scenario.rules
        )
        .add_columns(Scenario.kind, Signature.version, Signature.text, Signature.words, Incident.evidence)
        .join(Scenario, Attempt.scenario_id == Scenario.id)
        .outerjoin(Signature, Attempt.signature_id == Signature.id)
        .outerjoin(Incident, Incident.attempt_id == Attempt.id)
        .where(Attempt.run_id == run_id)
        .order_by(Attempt.position, Attempt.number)
    )
    rows = [dict(row) for row in connection.execute(query).mappings()]
    lists = load_lists(connection, {row["answers_id"] for row in rows if row["answers_id"] is not None})
    tries: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        tries.setdefault(row["position"], []).append(row)
    for position, attempts in tries.items():
        stands = next(row for row in attempts if row["stands"])
        listed = lists.get(stands["answers_id"], ())
        yield from _scenario(position, stands, attempts, listed)


def _head(run: Mapping[str, Any], guest: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("seconds", "version", "command", "selection", "problem", "memory_mib")
    return {
        "kind": "run",
        "schema": SCHEMA,
        "id": run["name"],
        "started": run["started"].strftime("%Y-%m-%dT%H:%M:%SZ") if run["started"] else None,
        **{name: run[name] for name in kept},
        "guest": guest["recipe"],
        "target": {name: target[name] for name in ("name", "title", "hardware_id", "service")}
        | {"digest": target["package"]},
        "host": _host(guest) | {"build": run["build"]} | _dates(run),
    }


def _host(guest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: guest[name] for name in ("recipe", "image", "accelerator")}


def _dates(run: Mapping[str, Any]) -> dict[str, str]:
    dates = {name: run[name] for name in ("image_made", "image_expires")}
    return {name: when.isoformat() + "+00:00" for name, when in dates.items() if when is not None}


def _environment(guest: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: guest[name] for name in ("kernel", "kernel_build", "family", "architecture", "verifier")}
    ks = {"sha256": guest["ks_digest"], "version": guest["ks_version"], "ours": guest["ks_ours"]}
    drivers = [{"service": target["service"], "version": target["version"]}] if target["service"] else []
    return {
        "kind": "environment",
        "guest": said,
        "info": {"family": guest["family"], "ks": ks, "drivers": drivers},
        "host": _host(guest),
        "target_digest": target["package"],
    }


def _scenario(
    position: int, row: Mapping[str, Any], attempts: list[dict[str, Any]], listed: Listed
) -> Iterator[dict[str, Any]]:
    name = row["name"]
    if row["kind"] == "test":
        whole = f"{row['file']}::{name}" if name != row["file"] else name
        yield {"kind": "test", "id": whole, **{key: row[key] for key in ("verdict", "reason", "seconds")}}
        return
    said = ("title", "content", "file", "verdict", "reason", "seconds", "lease", "worker")
    record: dict[str, Any] = {
        "kind": "scenario",
        "order": position,
        "id": name,
        "rules": row["rules"].split(),
        "step_count": len(listed) + bool(row["torn"]),
        "evidence": json.loads(row["evidence"] or "[]"),
        **{key: row[key] for key in said},
    }
    if row["text"] is not None:
        record["signature"] = {key: row[key] for key in ("version", "text", "words")}
    if len(attempts) > 1:
        tried = ("verdict", "reason", "seconds", "lease", "worker")
        record["attempts"] = [{key: attempt[key] for key in tried} for attempt in attempts]
    yield record
    for step in listed:
        yield _step(position, name, step)


def _step(position: int, scenario: str, step: ListedStep) -> dict[str, Any]:
    fields = step.fields
    block = None
    if fields:
        seen = {name[5:]: value for name, value in fields.items() if name.startswith("seen.")}
        block = {
            "op": "request",
            "outcome": fields["outcome"],
            "handshake": {"protocol": fields["protocol"]} if fields["protocol"] else None,
            "numbers": {name: fields[name] for name in NUMBERS},
            "seen": seen or None,
        }
    return {
        "kind": "step",
        "order": position,
        "scenario": scenario,
        "index": step.position,
        "do": step.do,
        "name": step.name,
        "route": step.route,
        "mode": step.mode,
        "request": json.loads(step.request),
        "verdict": step.verdict,
        "reason": step.reason,
        "status_block": block,
        "comparisons": [],
    }


def _row(connection: Connection, model: Any, number: int) -> dict[str, Any]:
    table = model.__table__
    return dict(connection.execute(select(table).where(table.c.id == number)).mappings().one())
