# SPDX-License-Identifier: Apache-2.0
"""What a run that is at work keeps in its folder of parts, so that another session can go on with it.

``run.json`` says how it was called, ``items.jsonl`` what was selected, ``facts.json`` what it ran on.  All
are written once, durably, before the first scenario.  They are our own, and may be damaged all the same.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UsageError
from harness.results.folder import PARTS
from vm.files import sync_directory, write_whole

RUN, ITEMS, FACTS = "run.json", "items.jsonl", "facts.json"
#: Held by each process of the run while it lives.
ALIVE = "alive"
#: Bytes of the largest file of these that is read: a hundred times what the catalogue needs.
_LARGEST = 64 << 20
_ANEW = "start the run anew: kshs run --out DIR"
_SESSION = re.compile(r"-[a-z0-9]+(?:\.([1-9][0-9]{0,5}))?\.jsonl$")


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class BegunRun(_Kept):
    """A run as it was begun: `call` are the options of ``kshs run``, `directory` where it was called."""

    schema_: Literal[1] = Field(1, alias="schema")
    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    started: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    version: str
    directory: str
    call: dict[str, Any]


class SelectedItem(_Kept):
    """One item that was selected.

    `key` is its node id, `digest` that of its content, and `scenario` what is known of a scenario before it
    runs: the keys of `harness.results.record.begun_record`; None for a test in Python.
    """

    key: str
    digest: str
    scenario: dict[str, Any] | None = None


def name_of(kind: str, worker: str, session: int) -> str:
    """The name of what one worker writes in one session, from 1: ``results-gw0.2.jsonl``."""
    return f"{kind}-{worker}.jsonl" if session == 1 else f"{kind}-{worker}.{session}.jsonl"


def session_of(path: Path) -> int:
    """The session in which a file of that name was written; 1 where the name says none."""
    found = _SESSION.search(path.name)
    return int(found[1] or 1) if found is not None else 1


def last_session(folder: Path) -> int:
    """The number of the last session that has written anything there; 0: none has."""
    return max((session_of(path) for path in folder.glob("*-*.jsonl")), default=0)


def open_session(folder: Path) -> int:
    """Takes the next number for a session of a run."""
    number = last_session(folder) + 1
    (folder / name_of("session", "main", number)).touch(mode=0o600, exist_ok=False)
    return number


def write_run(folder: Path, run: BegunRun) -> None:
    """Durable when it returns."""
    write_whole(folder / RUN, run.model_dump_json(by_alias=True))
    sync_directory(folder)
    sync_directory(folder.parent)


def write_items(folder: Path, items: Iterable[SelectedItem]) -> None:
    """The same; several processes may do so, as all of them have selected the same."""
    lines = (item.model_dump_json() for item in items)
    write_whole(folder / ITEMS, "".join(f"{line}\n" for line in lines))
    sync_directory(folder)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """The same."""
    write_whole(folder / FACTS, json.dumps(facts))
    sync_directory(folder)


def unfinished_run(directory: Path) -> Path | None:
    """The folder of the run in a directory that was begun last and has not ended; None: there is none."""
    begun = []
    for folder in directory.glob(f"{PARTS}*"):
        with contextlib.suppress(OSError):
            begun.append(((folder / RUN).stat().st_mtime_ns, folder))
    return max(begun, default=(0, None))[1]


def read_run(folder: Path) -> BegunRun:
    """How a run was begun.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        return BegunRun.model_validate_json(_bytes(folder / RUN))
    except (OSError, ValidationError, RecursionError) as error:
        raise _damaged(folder / RUN, error) from None


def read_items(folder: Path) -> dict[str, SelectedItem] | None:
    """What was selected, by node id; None where the run ended before it was.

    Raises:
        UsageError: the file is damaged.
    """
    path = folder / ITEMS
    if not path.exists():
        return None
    try:
        lines = _bytes(path).splitlines()
        items = [SelectedItem.model_validate_json(line) for line in lines]
    except (OSError, ValidationError, RecursionError) as error:
        raise _damaged(path, error) from None
    return {item.key: item for item in items}


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What the run ran on; None where it ended before that was known.

    Raises:
        UsageError: the file is damaged.
    """
    path = folder / FACTS
    if not path.exists():
        return None
    try:
        facts = json.loads(_bytes(path))
        if not isinstance(facts, dict):
            raise ValueError("is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    return facts


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST:
        raise OSError(0, f"is larger than {_LARGEST >> 20} MiB")
    return path.read_bytes()


def _damaged(path: Path, error: Exception) -> UsageError:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
    else:
        why = str(getattr(error, "strerror", None) or error)
    return UsageError(f"is damaged: {' '.join(why.split())[:200]}", where=str(path), hint=_ANEW)
