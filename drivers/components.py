# SPDX-License-Identifier: Apache-2.0
"""The binaries that run inside the guest: where their sources are, and what they are linked with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import BuildError

ROOT = Path(__file__).parent
PACKAGE_NAME = "avshs"

_TREE_SUFFIXES = (".c", ".S", ".h", ".def", ".inf", ".rc")


@dataclass(frozen=True)
class Component:
    """One binary: every source in its folder, and what it is linked with."""

    folder: str
    image: str
    kernel: bool
    title: str
    also: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ("-lntoskrnl", "-lhal")
    needs_ks: bool = False
    definition: str = ""
    """A .def file in its folder that names its exports."""
    wine_only: bool = False
    windowed: bool = False
    """A program that gets no console."""


REFKS = Component("refks", "ks.sys", True, "kshs reference class driver")
WDMSUP = Component(
    "wdmsup",
    "wdmsup.sys",
    True,
    "kshs support library for drivers on Wine",
    libraries=("-lntoskrnl", "-lhal", "-lntdll"),
    definition="wdmsup.def",
    wine_only=True,
)
COMPONENTS = (
    REFKS,
    WDMSUP,
    Component("ksclient", "ksclient.sys", True, "kshs kernel-mode client", needs_ks=True),
    Component("avshs", "avshs.sys", True, "kshs sample target", needs_ks=True),
    Component("kstrace", "kstrace.sys", True, "kshs tracer"),
    Component(
        "kshsctl",
        "kshsctl.exe",
        False,
        "kshs agent and installer",
        also=("common/chkstk.S",),
        libraries=tuple(
            f"-l{name}"
            for name in ("setupapi", "newdev", "crypt32", "advapi32", "version", "ole32", "user32", "ntdll")
        ),
    ),
    Component(
        "kshsrec",
        "kshsrec.exe",
        False,
        "kshs crash recorder",
        also=(
            "common/chkstk.S",
            *(
                f"kshsctl/{name}.c"
                for name in (
                    "crash",
                    "crash_report",
                    "is_wine",
                    "json",
                    "modules",
                    "peek",
                    "report",
                    "text",
                    "threads",
                    "trace_rescue",
                    "trace_text",
                    "unwind",
                )
            ),
        ),
        libraries=("-lntdll",),
        wine_only=True,
        windowed=True,
    ),
)


def read_tree(root: Path) -> dict[str, str]:
    """Digest of every file of the tree that a build can depend on, by its name relative to the tree."""
    tree = {}
    for folder in ("abi", "common", *(component.folder for component in COMPONENTS)):
        if not (root / folder).is_dir():
            raise BuildError(
                "folder is missing", str(root / folder), "give a tree with the folders of drivers/"
            )
        for path in sorted((root / folder).iterdir()):
            if path.suffix in _TREE_SUFFIXES and path.is_file():
                tree[f"{folder}/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return tree
