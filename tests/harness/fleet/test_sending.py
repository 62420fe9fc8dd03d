# SPDX-License-Identifier: Apache-2.0
"""Trees on their way, while workers are started anew and other nights send the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.fleet.cells import Tree
from harness.fleet.content import UnexpectedError, listing, pack
from harness.fleet.host_state import HostState
from harness.fleet.sending import Sender
from harness.fleet.trees import Trees
from tests.harness.fleet.test_carrier import config as config
from tests.harness.fleet.test_carrier import state as state
from vm.config import VmConfig
from vm.files import write_json


def test_two_nights_may_send_the_same_image(tmp_path: Path, config: VmConfig, state: HostState) -> None:
    tree = tmp_path / "image"
    tree.mkdir()
    write_json(tree / "manifest.json", {"digest": "a" * 64})
    (tree / "disk.raw").write_bytes(b"x" * 10)
    trees, found = Trees(config, state), listing(tree)
    image = {"home": "images", "name": "wine-a", "digest": "a" * 64}
    one, other = (trees.expect(found.digest, found.as_json(), image) for _ in range(2))
    pieces = [(index, number, pack(tree, found.files[index], number)) for index, number in one]
    assert one == other
    trees.put(found.digest, pieces)
    trees.finish(found.digest, image)
    inode = (config.images_dir / "wine-a" / "disk.raw").stat().st_ino
    with pytest.raises(UnexpectedError):  # who sends asks again, and hears that all of it is here
        trees.put(found.digest, pieces)
    assert trees.expect(found.digest, found.as_json(), image) == []
    trees.finish(found.digest, image)
    assert (config.images_dir / "wine-a" / "disk.raw").stat().st_ino == inode, "guests may run from it"
    (config.images_dir / "wine-a" / "manifest.json").unlink()  # its removal was cut in the middle
    assert trees.expect(found.digest, found.as_json(), image) == one
    trees.put(found.digest, pieces)
    trees.finish(found.digest, image)
    assert trees.images() == {"a" * 64: config.images_dir / "wine-a"}


def test_a_worker_that_was_started_anew_goes_on_with_what_had_come(
    tmp_path: Path, config: VmConfig, state: HostState
) -> None:
    """Who sends is not told that the host has failed: it announces the tree again."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in "abcdefgh":
        (tree / name).write_bytes(name.encode())
    lives = [Trees(config, state)]
    puts: list[int] = []

    class Links:
        async def call(self, host: str, function: Any, *arguments: Any) -> Any:
            if function.__name__ == "put":
                puts.append(len(arguments[1]))
                if len(puts) == 2:
                    lives.append(Trees(config, state))
            return getattr(lives[-1], function.__name__)(*arguments)

    sender = Sender(Links(), 30.0, lambda text: None)  # type: ignore[arg-type]
    sent = Tree(tree, listing(tree))
    asyncio.run(sender.bring("a", "s", [sent], []))
    assert lives[-1].has(sent.digest) and puts == [4, 4, 4], "the first four are not sent again"
