# SPDX-License-Identifier: Apache-2.0
"""Objects by content: the same source, headers, flags and tools are compiled once per user.

A build, a second build elsewhere and a build of a changed tree share every object that comes out the same.
The store holds two kinds of files, both written atomically and never changed, so that it needs no lock:

- ``<key of source and flags>.json``: with which contents of which headers that source was seen so far;
- ``<key of these with the headers' contents>.o`` (or ``.res``): what came out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from drivers.files import write_atomically

_SEEN_LIMIT = 16


class ObjectStore:
    """Objects under ``directory``; ``tree`` maps the name of every file of the source tree to its digest."""

    def __init__(self, directory: Path, tree: dict[str, str]) -> None:
        self._directory = directory
        self._tree = tree
        # A header that appears elsewhere may hide another: the names of all are part of every key.
        self._headers = "\n".join(sorted(name for name in tree if name.endswith(".h")))
        directory.mkdir(parents=True, exist_ok=True)

    def fetch(self, source: str, out: Path, settings: str, produce: Callable[[], list[str]]) -> bool:
        """Put the object of ``source`` at ``out``; True if ``produce`` had to make it.

        ``settings`` is all that matters beside the sources: tools and flags.  ``produce`` writes ``out`` and
        answers the names, as in ``tree``, of the files that it read; others are part of the tools.
        """
        first = _digest(settings, self._headers, source, self._tree[source])
        seen_file = self._directory / f"{first}.json"
        seen = _read_seen(seen_file)
        for headers in seen:
            if all(self._tree.get(name) == digest for name, digest in headers.items()):
                stored = self._stored(first, headers, out)
                try:
                    shutil.copyfile(stored, out)
                except FileNotFoundError:
                    break
                stored.touch()
                return False
        names = produce()
        headers = {name: self._tree[name] for name in names if name in self._tree}
        write_atomically(self._stored(first, headers, out), out.read_bytes())
        kept = [headers, *(other for other in seen if other != headers)]
        write_atomically(seen_file, json.dumps(kept[:_SEEN_LIMIT]).encode())
        return True

    def _stored(self, first: str, headers: dict[str, str], out: Path) -> Path:
        second = _digest(first, json.dumps(headers, sort_keys=True))
        return self._directory / f"{second}{out.suffix}"


def _read_seen(path: Path) -> list[dict[str, str]]:
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return seen if isinstance(seen, list) else []


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()
