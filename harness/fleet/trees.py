# SPDX-License-Identifier: Apache-2.0
"""The trees that a host holds: sealed images where its guests come from, and what else came by digest."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.fleet.content import ContentError, Inbox, Listing, UnexpectedError, listing, verify
from harness.fleet.host_state import HostState
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import private_directory, read_json, remove_tree, write_json

_UNUSED_DAYS = 14
_RECEIVED = ("trees", "incoming", "images")


def forget(config: VmConfig) -> list[str]:
    """Removes what came for leases, where no worker is at work; says what.  Images stay where images are."""
    folder = config.cache_dir / "host"
    if not folder.is_dir() or HostState(folder).is_held():
        return []
    return [f"received {name} {folder / name}" for name in _RECEIVED if remove_tree(folder / name)]


class Trees:
    """Of one host.

    Args:
        config: of its guests.
        state: its folder.
    """

    def __init__(self, config: VmConfig, state: HostState) -> None:
        self._config = config
        self._folder = private_directory(state.folder / "trees")
        self._parts = private_directory(state.folder / "incoming")
        self._marks = private_directory(state.folder / "images")
        self._inboxes: dict[str, Inbox] = {}
        #: By digest: two nights may send the same at the same time.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def images(self) -> dict[str, Path]:
        """Sealed images by digest."""
        found = {}
        for home in (self._config.images_dir, self._config.cache_dir / "windows"):
            for manifest in sorted(home.glob("*/manifest.json")):
                with contextlib.suppress(VmError):
                    digest = (read_json(manifest) or {}).get("digest")
                    if isinstance(digest, str) and manifest.parent.suffix == "":
                        found[digest] = manifest.parent
        return found

    def place(self, digest: str) -> Path:
        """Where the tree of that digest is, or would be."""
        return self._folder / digest

    def has(self, digest: str) -> bool:
        """Whether it is here whole."""
        return self.place(digest).is_dir()

    def check_image(self, digest: str) -> None:
        """That an image is what it was when this host got or made it.

        All of it is read the first time; later, whatever has changed its time or size.

        Raises:
            ContentError: it is not here, or is another one: then it is out of use.
        """
        path = self.images().get(digest)
        if path is None:
            raise ContentError("there is no image of this digest here", where=digest[:16])
        mark = self._marks / f"{digest[:16]}.json"
        now = listing(path, self._marks / f"{digest[:16]}-files.json", hidden=False).digest
        known = (read_json(mark) or {}).get("tree")
        if known is None:
            write_json(mark, {"tree": now})
        elif known != now:
            raise ContentError("the image has changed since it was sealed", where=str(path))

    # ---- receiving ----------------------------------------------------------

    def expect(self, digest: str, files: Any, image: Mapping[str, str] | None) -> list[tuple[int, int]]:
        """What is missing of a tree that is about to be sent; nothing where it is here.

        ``image``: of an image its `digest`, and its `home` (``images`` or ``windows``) and `name` in the
        cache.

        Raises:
            ContentError: the list is wrong, or another image of that name is here.
        """
        with self._locks[digest]:
            return self._expect(digest, files, image)

    def _expect(self, digest: str, files: Any, image: Mapping[str, str] | None) -> list[tuple[int, int]]:
        target = self._place_of(digest, image)
        if self._is_there(target, image):
            return []
        self._inboxes[digest] = Inbox(target, Listing.of_json(files, digest), self._parts)
        return self._inboxes[digest].missing()

    def put(self, digest: str, pieces: list[tuple[int, int, bytes]]) -> None:
        """Pieces of it.

        Raises:
            ContentError: one is not what the list says.
            UnexpectedError: nothing is expected.
        """
        with self._locks[digest]:
            inbox = self._inbox(digest)
            for index, number, data in pieces:
                inbox.put(index, number, data)

    def finish(self, digest: str, image: Mapping[str, str] | None) -> None:
        """All of it is here.

        Raises:
            ContentError: it is not, or the image is none of its digest.
            UnexpectedError: nothing is expected.
        """
        with self._locks[digest]:
            self._finish(digest, image)

    def _finish(self, digest: str, image: Mapping[str, str] | None) -> None:
        if self._is_there(self._place_of(digest, image), image):
            # The answer was lost, or another night was first: what guests may run from already stays.
            remove_tree(self._parts / digest)
            self._inboxes.pop(digest, None)
            return
        if image is None:
            self._inbox(digest).finish()
        else:
            wanted = image["digest"]

            def check(part: Path) -> None:
                if (read_json(part / "manifest.json") or {}).get("digest") != wanted:
                    remove_tree(part)
                    raise ContentError("what came is no image of that digest", where=wanted[:16])

            self._inbox(digest).finish(check)
            write_json(self._marks / f"{wanted[:16]}.json", {"tree": digest})
        del self._inboxes[digest]

    def check(self, digest: str) -> Path:
        """A tree, after a look at every byte of it; one that is damaged goes, and can be sent again.

        Raises:
            ContentError: it is not here, or not what its digest names.
        """
        place = self.place(digest)
        if not place.is_dir():
            raise ContentError("there is no tree of this digest here", where=digest[:16])
        try:
            verify(place, digest)
        except ContentError:
            remove_tree(place)
            raise
        os.utime(place)  # it is in use: see `tidy`
        return place

    def tidy(self) -> None:
        """Removes trees that nobody has asked for in two weeks, and parts of as long ago."""
        limit = time.time() - _UNUSED_DAYS * 86400
        for path in [*self._folder.iterdir(), *self._parts.iterdir()]:
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < limit:
                    remove_tree(path)

    def _place_of(self, digest: str, image: Mapping[str, str] | None) -> Path:
        return self._image_place(image) if image is not None else self.place(digest)

    def _is_there(self, target: Path, image: Mapping[str, str] | None) -> bool:
        """Whole; of an image that is half removed the folder is left, and its manifest is not."""
        if image is None:
            return target.is_dir()
        return (read_json(target / "manifest.json") or {}).get("digest") == image["digest"]

    def _inbox(self, digest: str) -> Inbox:
        if digest not in self._inboxes:
            raise UnexpectedError("nothing is expected of this digest", where=digest[:16])
        return self._inboxes[digest]

    def _image_place(self, image: Mapping[str, str]) -> Path:
        home = private_directory(
            self._config.cache_dir / ("windows" if image["home"] == "windows" else "images")
        )
        name = image["name"]
        if (
            not name
            or "/" in name
            or name.startswith(".")
            or Path(name).suffix in (".part", ".build", ".work")
        ):
            raise ContentError("is no name of an image", where=json.dumps(name))
        there = read_json(home / name / "manifest.json")
        if there is not None and there.get("digest") != image["digest"]:
            raise ContentError("another image of that name is here; it stays", where=str(home / name))
        return home / name
