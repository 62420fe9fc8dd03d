# SPDX-License-Identifier: Apache-2.0
"""Pages of gates' verdicts, kept in the site so that it is whole wherever it lies."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import guest_text
from harness.errors import UsageError
from harness.site.memory import Gate, Memory
from vm.files import write_whole

#: Beside a store that is a file: pages in it are taken without being named.
FOLDER = "gates"
#: Bytes of one page.
_LARGEST = 32 << 20
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LONG = 200


def found(store: Path | None) -> list[Path]:
    """Pages in the folder beside a store."""
    folder = store.parent / FOLDER if store is not None else None
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.html") if path.is_file() and not path.is_symlink())


def take(memory: Memory, pages: Sequence[Path], out: Path) -> None:
    """Copies pages into the site; the same one twice is one.

    Raises:
        UsageError: one cannot be read, or is no page.
    """
    for path in pages:
        data = _read(path)
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.html"
        text = data[: 1 << 16].decode("utf-8", errors="replace")
        said = _TITLE.search(text)
        title = guest_text.one_line(html.unescape(said[1]), _LONG) if said else ""
        memory.gates[name] = Gate(title or path.stem[:_LONG], guest_text.one_line(path.name, _LONG))
        if not (out / "gate" / name).exists():
            write_whole(out / "gate" / name, data, mode=0o644)
    memory.gates = dict(_there(memory, out))


def _there(memory: Memory, out: Path) -> Iterable[tuple[str, Gate]]:
    return ((name, gate) for name, gate in memory.gates.items() if (out / "gate" / name).is_file())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint="check --gate") from None
    if len(data) > _LARGEST:
        raise UsageError("is larger than a page", where=str(path), hint="check --gate")
    if b"<html" not in data[: 1 << 16].lower() and b"<!doctype html" not in data[: 1 << 16].lower():
        raise UsageError("is no HTML page", where=str(path), hint="check --gate")
    return data
