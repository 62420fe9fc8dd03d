# SPDX-License-Identifier: Apache-2.0
"""What calls of the kernel do on Wine: the answers of probes, and which drivers they concern.

``data/calls-*.json`` hold, of each Wine that was asked, one answer a probe, twice: ``wine``, for a driver
that takes everything from Wine, and ``deployed``, for one as it is deployed there, with what the support
library supplies.  A probe is named by its call, with the case behind a colon where a call has several:
``KeSetTimer: by the timer's own DPC``.  ``python -m tests.component.kernel_calls`` asks the installed Wine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pefile

from drivers.wdmsup_exports import KERNEL_MODULES, MODULE

if TYPE_CHECKING:
    from drivers.import_rewrite import Rewritten

DATA = Path(__file__).parent / "data"
_TABLES = "calls-*.json"
_LOOKS_UP = "MmGetSystemRoutineAddress"
#: A string of UTF-16 that is not the end of a longer name.
_WHOLE = rb"(?<![0-9A-Za-z_]\0)%s"

RIGHT = "right"
MINOR = "minor"
WRONG = "wrong"
THROWS = "throws"
ENDS = "ends"
WEDGES = "wedges"
STUB = "stub"
MISSING = "missing"
UNASKED = "unasked"
#: Every kind of answer, the worst last.  ``minor``: what a driver hardly notices, such as that nothing is
#: refused that a kernel would refuse; ``throws``: an exception comes out of it; ``ends``: another thread of
#: the drivers' process dies of it, and the process with that; ``wedges``: it never returns; ``unasked``: what
#: the probe needs beside the call is not there.
KINDS = (RIGHT, UNASKED, MINOR, WRONG, THROWS, ENDS, STUB, MISSING, WEDGES)


@dataclass(frozen=True)
class Answer:
    """What one probe saw: ``probe`` is its name, ``kind`` one of `KINDS`, ``what`` the rest of a sentence."""

    probe: str
    kind: str
    what: str = ""

    @classmethod
    def of(cls, probe: str, text: str) -> Answer:
        """From a table's ``kind: what``."""
        kind, _, what = text.partition(": ")
        return cls(probe, kind, what)

    @property
    def call(self) -> str:
        """The function."""
        return self.probe.partition(": ")[0]

    @property
    def text(self) -> str:
        """As a table has it."""
        return f"{self.kind}: {self.what}" if self.what else self.kind

    @property
    def sentence(self) -> str:
        """What the function does there, as a sentence without its end."""
        call, _, case = self.probe.partition(": ")
        subject = f"{call}, {case}," if case else call
        match self.kind:
            case "wedges":
                wider = "" if self.what == "its thread" else f", and {self.what} of the guest stands still"
                return f"{subject} never returns{wider}"
            case "throws" | "ends":
                return f"{subject} ends the process of all drivers" + (f" ({self.what})" if self.what else "")
            case "stub":
                return f"{subject} is only a stub, which ends the process of all drivers"
            case "missing":
                return f"{subject} is not there, and a call of it ends the process of all drivers"
        return f"{subject} {self.what or 'does what its page says'}"


@dataclass(frozen=True)
class Calls:
    """The answers of one Wine: ``version`` as ``Wine 8.0``, ``asked`` where and of which packages."""

    version: str
    asked: str = ""
    wine: Mapping[str, Answer] = field(default_factory=dict)
    deployed: Mapping[str, Answer] = field(default_factory=dict)

    def bad(self, call: str, *, supplied: bool = False) -> tuple[Answer, ...]:
        """What is wrong about a function, Wine's own or the support library's; the worst first."""
        return (self._bad_of_deployed if supplied else self._bad_of_wine).get(call, ())

    @cached_property
    def _bad_of_wine(self) -> Mapping[str, tuple[Answer, ...]]:
        return _bad_by_call(self.wine.values())

    @cached_property
    def _bad_of_deployed(self) -> Mapping[str, tuple[Answer, ...]]:
        return _bad_by_call(self.deployed.values())

    def reasons(self) -> dict[str, str]:
        """Of each of Wine's functions that is there and not right, one sentence."""
        found: dict[str, str] = {}
        for call in dict.fromkeys(one.call for one in self.wine.values()):
            bad = [one for one in self.bad(call) if one.kind not in (STUB, MISSING)]
            if bad:
                found[call] = bad[0].sentence
        return found


def _bad_by_call(answers: Iterable[Answer]) -> dict[str, tuple[Answer, ...]]:
    """What is not right, the worst of each function first."""
    found: dict[str, list[Answer]] = {}
    for one in answers:
        if one.kind not in (RIGHT, UNASKED, MINOR):
            found.setdefault(one.call, []).append(one)
    return {call: tuple(sorted(bad, key=lambda one: -KINDS.index(one.kind))) for call, bad in found.items()}


@dataclass(frozen=True)
class Doubt:
    """A function that a driver uses and that is not right there: what it does may not be the driver's doing.

    ``how`` is ``imports`` or ``looks up``; ``kind`` is the worst of what is known of the function.
    """

    driver: str
    call: str
    how: str
    kind: str
    sentences: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        return f"{self.driver} {self.how} {self.call}: on {self.version} {'; '.join(self.sentences)}"


def load(path: Path) -> Calls:
    """One table.

    Raises:
        ValueError: an answer is of no kind.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    tables = {
        name: {probe: Answer.of(probe, text) for probe, text in content[name].items()}
        for name in ("wine", "deployed")
    }
    for answers in tables.values():
        for answer in answers.values():
            if answer.kind not in KINDS:
                raise ValueError(f"{path}: {answer.probe}: {answer.kind!r} is no kind of answer")
    return Calls(content["version"], content["asked"], **tables)


@lru_cache(maxsize=8)
def known(version: str) -> Calls:
    """What is known of a version of Wine; the nearest older table counts, as it does for exports."""
    from drivers.imports import version_key

    names = sorted(
        (path.stem.removeprefix("calls-") for path in DATA.glob(_TABLES)), key=version_key, reverse=True
    )
    wanted = version_key(version)
    chosen = next((name for name in names if version_key(name) <= wanted), names[-1] if names else None)
    return Calls(f"Wine {version}") if chosen is None else load(DATA / f"calls-{chosen}.json")


def doubts(rewritten: Rewritten, wine: str) -> tuple[Doubt, ...]:
    """The functions of a driver, as it is deployed to a version of Wine, that are not right there.

    What Wine has only as a stub, or not at all, counts whether a probe asked for it or not.
    """
    from drivers import imports

    calls = known(wine)
    offered = imports.wine(wine)
    image = pefile.PE(data=rewritten.data, fast_load=True)  # not to be closed: see `drivers.pe_image`
    image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
    used = [
        (module.dll.decode("ascii", "replace").lower(), one.name.decode("ascii", "replace"))
        for module in getattr(image, "DIRECTORY_ENTRY_IMPORT", [])
        for one in module.imports
        if one.name
    ]
    found: dict[str, Doubt] = {}
    for module, call in used:
        if module == MODULE or module in KERNEL_MODULES:
            bad = calls.bad(call, supplied=module == MODULE)
            exports = offered.modules.get(module)
            if not bad and exports is not None and call not in exports.functions:
                kind = STUB if call in exports.refused else MISSING
                reason = exports.refused.get(call)
                if reason is None or imports.is_stub(reason):
                    bad = (Answer(call, kind),)
            _add(found, rewritten.name, call, "imports", bad, calls)
    if _LOOKS_UP in {call for _, call in used}:
        for call in _looked_up(rewritten.data, calls.wine.values()):
            bad = tuple(
                one for one in calls.bad(call) if one.kind != MISSING
            )  # it is told that this is not there
            _add(found, rewritten.name, call, "looks up", bad, calls)
    return tuple(found.values())


def _add(
    found: dict[str, Doubt], driver: str, call: str, how: str, bad: tuple[Answer, ...], calls: Calls
) -> None:
    if bad and call not in found:
        sentences = tuple(one.sentence for one in bad)
        found[call] = Doubt(driver, call, how, bad[0].kind, sentences, calls.version)


def _looked_up(data: bytes, answers: Iterable[Answer]) -> list[str]:
    """Names of calls that stand in a driver as a whole string of UTF-16."""
    calls = dict.fromkeys(answer.call for answer in answers)
    return [call for call in calls if re.search(_WHOLE % re.escape(f"{call}\0".encode("utf-16-le")), data)]
