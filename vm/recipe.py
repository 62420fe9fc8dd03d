# SPDX-License-Identifier: Apache-2.0
"""What a recipe is: the way from nothing to a sealed image, in stages that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vm.config import VmConfig
from vm.progress import Progress


@dataclass(frozen=True)
class Work:
    """Where a recipe works and what it works with."""

    directory: Path
    """Becomes the image; a stage leaves its results here."""
    config: VmConfig
    progress: Progress

    @property
    def log(self) -> Path:
        """What the programs of every stage printed."""
        return self.directory / "build.log"


@dataclass(frozen=True)
class Stage:
    """One step of a recipe.

    ``run`` may find its own half-done results of an interrupted attempt and begins afresh.  What it
    returns goes into the manifest.
    """

    name: str
    label: str
    run: Callable[[Work], Mapping[str, Any]]


class Recipe(Protocol):
    """One kind of image.  Another kind is another module with one of these, entered in ``vm.image``."""

    @property
    def name(self) -> str:
        """First part of the image's name."""

    @property
    def family(self) -> str:
        """The guest family: ``wine`` or ``windows``."""

    def inputs(self, config: VmConfig) -> Mapping[str, Any]:
        """All that decides what the image will be (JSON values); its digest names the image."""

    def stages(self) -> Sequence[Stage]:
        """In the order in which they run."""

    def leftovers(self) -> Sequence[str]:
        """Names in the work directory that the sealed image does not need."""
