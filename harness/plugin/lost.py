# SPDX-License-Identifier: Apache-2.0
"""What has begun or ended in a session and left no lines, and what was selected and never ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.agent.journal import Unfinished, story
from harness.plugin.observation import Item, Observer
from harness.plugin.session_folder import SessionFolder
from harness.results.parts import Gathered
from harness.results.record import result_of_begun
from harness.results.run_files import read_items
from harness.verdict import Verdict

#: How the reason of a scenario begins that no guest could be had for; said once of all of them.
NOT_RUN = "not run: "

if TYPE_CHECKING:
    from harness.plugin.earlier import Earlier


def add_lost(gathered: Gathered, folder: SessionFolder, observer: Observer, earlier: Earlier) -> None:
    """Adds what has begun or ended and left no lines, above all what a worker that died had in hand."""
    written = {entry.key for entry in gathered.entries}
    stories = [story(path) for path in folder.journals]
    left_over = [left for each in stories if (left := each.in_flight) is not None]
    flying = {f"{left.file}::{left.scenario}": left for left in left_over}
    judged = {f"{file}::{name}": word for each in stories for (file, name), word in each.ended.items()}
    ended = {key_of_item(item): item for item in observer.scenarios if key_of_item(item) not in earlier.kept}
    for key in {**gathered.begun, **ended}:
        if key in written:
            continue
        item = ended.get(key)
        left = flying.get(key)
        verdict, reason = _of_lost(item, left, judged.get(key), interrupted=observer.interrupted)
        begun = gathered.begun.get(key) or _unknown(key, order=len(observer.selected))
        lease = left.lease if left is not None else None
        result = result_of_begun(begun, verdict, reason, lease)
        gathered.add(result, order=begun["order"], worker=begun["worker"])


def of_unwritten(word: str | None, how: str) -> tuple[Verdict, str] | None:
    """What is said of a scenario of which the journal alone knows the verdict; None where it knows none.

    Args:
        word: of the journal, which may be another than a verdict.
        how: why its result was not written, `the run ended` say.
    """
    if word not in list(Verdict):
        return None
    verdict = Verdict(word)
    if verdict.is_driver_fault:
        return verdict, f"it {verdict.value}, and {how} before more of it was written"
    return Verdict.ERROR, f"{how} before its result was written"


def _of_lost(
    item: Item | None, left: Unfinished | None, word: str | None, *, interrupted: bool
) -> tuple[Verdict, str]:
    """What is said of a scenario without a record: what speaks against a driver is told as it is."""
    told = item.told if item is not None else None
    if told is not None and told.verdict.is_driver_fault:
        return told.verdict, told.reason or "no reason is on record"
    if told is not None:
        return Verdict.ERROR, told.unrecorded or "its result was lost between the guest and results.jsonl"
    how = "interrupted" if interrupted else "the run ended"
    if left is not None:
        reason = f"{how} while this scenario was in flight: {left.words}"
        return Verdict.ERROR, f"{reason}; nothing is known of the driver" if interrupted else reason
    unwritten = of_unwritten(word, "the run was interrupted" if interrupted else how)
    if unwritten is not None and unwritten[0].is_driver_fault:
        return unwritten
    if item is not None and item.verdict is not None:
        return Verdict.ERROR, " ".join((item.reason or "it left no result").split())
    if unwritten is not None:
        return unwritten
    return Verdict.ERROR, f"{how} before anything was sent for this scenario"


def _unknown(key: str, order: int) -> dict[str, Any]:
    """What is known of a scenario of which not even the begin is on record."""
    file, _, name = key.rpartition("::")
    known: dict[str, Any] = {"id": name, "title": name, "rules": [], "file": file, "line": None, "tags": []}
    return {**known, "order": order, "worker": ""}


def add_unrun(gathered: Gathered, folder: SessionFolder, latched: str) -> None:
    """Adds what was selected and did not run because no guest can be had: an error, for that one reason."""
    written = {entry.key for entry in gathered.entries}
    items = read_items(folder.path) if folder.path is not None else None
    for item in (items or {}).values():
        if item.scenario is not None and item.key not in written:
            result = result_of_begun(item.scenario, Verdict.ERROR, f"{NOT_RUN}{latched}", None)
            gathered.add(result, order=int(item.scenario["order"]), worker="")


def key_of_item(item: Item) -> str:
    """The key under which a scenario is on record."""
    if item.told is not None:
        return item.told.key
    head, separator, name = item.nodeid.rpartition("::")
    return f"{head}{separator}{name.partition('@')[0]}"  # behind @ xdist has the name of a group
