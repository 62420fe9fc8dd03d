# SPDX-License-Identifier: Apache-2.0
"""What happens to a night beside it: workers that are started anew, other nights, a word that is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.commands.fleet_work import code_of
from harness.errors import HarnessError
from harness.fleet import following
from harness.fleet.cells import Tree
from harness.fleet.content import listing
from harness.fleet.ledger import read
from harness.fleet.sending import LocalError, fetch
from tests.harness.fleet.scripted import Said, ScriptedHost, ScriptedLinks, cell, passes
from tests.harness.fleet.test_coordinator import NAMES, SILENCE, Played, all_of, failing, heard
from tests.harness.fleet.test_coordinator import night as night
from tests.harness.fleet.test_coordinator import quick as quick

#: Names and sessions.
TWINS = (("a", "0"), ("a", "1"), ("b", "2"))


def slow(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
    """One item, and then it is at work for ever."""
    return Said({order["items"][0]["name"]: "passed"}, never=True)


def test_a_worker_that_is_killed_and_at_once_started_anew_is_not_waited_for(night: Any) -> None:
    played = night(("a", slow), ("b", passes))
    played.hosts["b"].cores = 1

    async def restart(played: Played) -> None:
        a = played.hosts["a"]
        while not a.leases:
            await asyncio.sleep(0.01)
        await heard(played, "a")
        a.script = passes
        a.restart()

    played.run(restart)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    given_up = [row["said"] for row in read(played.folder) if row["event"] == "given up"]
    assert given_up and set(given_up) == {"the worker of host a has ended and was started anew"}
    lost = [one for r in played.records() for one in r.get("attempts", [])[:-1]]
    assert lost and all(one["lost"] and one["worker"] == "a" for one in lost), "both attempts are kept"
    assert set(played.hosts["a"].dropped) >= set(played.hosts["a"].earlier), "nothing stays there"
    assert code_of(played.merged["c"]) == 0


def test_what_was_begun_unheard_is_on_record_where_its_host_is_back_a_moment_later(night: Any) -> None:
    """The others are done with its work by then: the cell's end waits for its word."""

    def falls_silent(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        host.silent = True
        return slow(host, order)

    played = night(("a", falls_silent), ("b", passes))
    played.hosts["b"].cores = 1

    async def come_back(played: Played) -> None:
        ended: set[str] = set()
        while ended != {item.key for item in played.cells[0].items}:
            await asyncio.sleep(0.01)
            rows = read(played.folder)
            over = {row["id"] for row in rows if row["event"] == "ended"}
            ended = {key for row in rows if row["id"] in over for key in row.get("keys", ())}
        played.hosts["a"].silent = False

    played.run(come_back)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed") and played.ran_on() == {"b"}
    lost = [one for r in played.records() for one in r.get("attempts", [])[:-1]]
    assert lost and all(one["lost"] and one["worker"] == "a" for one in lost)
    assert sum("later it was heard that it passed" in one["reason"] for one in lost) == 1


def test_what_another_night_has_taken_is_waited_for_and_blames_nobody(night: Any) -> None:
    played = night(("a", passes))
    played.hosts["a"].others = 2  # both of its cores

    async def end(played: Played) -> None:
        await asyncio.sleep(2 * SILENCE)
        assert not played.hosts["a"].leases and not played.merged, "it waits, and is not given up"
        played.hosts["a"].others = 0

    played.run(end)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed") and code_of(played.merged["c"]) == 0
    assert played.coordinator is not None and played.coordinator.blame.strikes == []


def test_a_lease_that_finds_its_host_full_is_withdrawn_and_blames_nobody(night: Any) -> None:
    """Another night was a moment faster, and nobody knew of it."""
    played = night(("a", passes))
    a = played.hosts["a"]
    a.full, a.faster = True, 2

    async def empty(played: Played) -> None:
        while not any(row["event"] == "given up" for row in read(played.folder)):
            await asyncio.sleep(0.01)
        a.full, a.others = False, 0

    (played.folder / "leases.jsonl").touch()
    played.run(empty)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    given_up = [row for row in read(played.folder) if row["event"] == "given up"]
    assert given_up and all("others have taken what it needs" in row["said"] for row in given_up)
    assert {row["id"] for row in given_up} <= set(a.dropped), "so that none of them is begun later"
    assert played.coordinator is not None and played.coordinator.blame.strikes == []
    assert not any("attempts" in r for r in played.records()), "nothing of it was ever in flight"


def test_a_lease_whose_word_was_lost_is_sent_again_and_speaks_against_no_host(night: Any) -> None:
    played = night(("a", passes), ("b", passes))
    a = played.hosts["a"]
    a.full = True

    async def mend(played: Played) -> None:
        while not any(row["event"] == "given up" for row in read(played.folder)):
            await asyncio.sleep(0.01)
        a.full = False

    (played.folder / "leases.jsonl").touch()
    played.run(mend)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    assert played.coordinator is not None
    assert played.coordinator.blame.strikes and not any(one.held for one in played.coordinator.blame.strikes)


def test_a_host_that_was_silent_when_it_was_quarantined_hears_of_it_later(night: Any, tmp_path: Path) -> None:
    many = [f"s{n}" for n in range(60)]
    cells = [cell(tmp_path / "night", many)]
    played = night(("a", failing("no room")), ("b", passes), cells=cells)
    a, b = played.hosts["a"], played.hosts["b"]
    b.cores = 1

    told: list[str | None] = []

    def deaf(reason: str | None) -> None:
        """The word of it is lost the first time."""
        told.append(reason)
        if len(told) > 1:
            a.quarantined = reason

    a.quarantine = deaf  # type: ignore[method-assign]

    def last(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        done = passes(host, order)
        return done if a.quarantined or len(told) == 0 else replace(done, never=True)

    b.script = last

    async def go_on(played: Played) -> None:
        while a.quarantined is None:
            await asyncio.sleep(0.01)
        b.script = passes
        for order, at_work in list(b.leases.values()):
            if at_work.never:
                b.end(order, passes(b, order))

    played.run(go_on)
    assert a.quarantined is not None and len(told) == 2
    assert played.verdicts() == dict.fromkeys(many, "passed")


@pytest.mark.parametrize("names", ["a", "ab"])
def test_what_silences_whoever_gets_it_is_not_given_to_hosts_for_ever(night: Any, names: str) -> None:
    """A guest that takes its host's kernel down: the worker is started anew each time."""

    def falls(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        asyncio.get_running_loop().call_later(0.2, host.restart)
        return Said({}, never=True)

    played = night(*((name, falls) for name in names)).run()
    assert set(played.verdicts().values()) == {"error"} and code_of(played.merged["c"]) == 3
    problem = played.merged["c"].problem
    assert problem is not None and "started anew" in problem
    for host in played.hosts.values():
        assert host.quarantined is None, "it may well be what it was given"


def test_what_no_host_can_carry_is_said_with_what_it_lacks(night: Any, tmp_path: Path) -> None:
    folder = tmp_path / "night"
    small = cell(folder, NAMES, "small")
    large = cell(folder, NAMES, "large")
    needs = replace(large.needs, memory_mib=64_000, cores=4, accelerator="kvm")
    cells = [small, replace(large, needs=needs)]
    played = night(("a", passes), cells=cells).run()
    assert set(played.verdicts("small").values()) == {"passed"}
    lacks = "a: lends 2 of 4 cores, lends 16000 of 64000 MiB, has TCG where KVM is needed"
    assert played.merged["large"].problem == f"8 items not run: no host can carry it ({lacks})"
    assert any(line.startswith("large: no host can carry it") for line in played.told), "while others go on"


def test_an_image_that_is_damaged_here_speaks_against_no_host(
    night: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "disk").write_bytes(b"as it was listed")
    listed = Tree(tree, listing(tree))
    (tree / "disk").write_bytes(b"another content!")
    folder = tmp_path / "night"
    folder.mkdir()
    played = night(("a", passes), ("b", passes), cells=[replace(cell(folder, NAMES), trees=(listed,))])
    for host in played.hosts.values():
        monkeypatch.setattr(host, "has", lambda digest: False)
        monkeypatch.setattr(host, "expect", lambda digest, files, image: [(0, 0)], raising=False)
    played.run()
    problem = played.merged["c"].problem
    assert problem is not None and "has changed while it was sent" in problem
    assert played.coordinator is not None and played.coordinator.blame.strikes == []
    assert [host.quarantined for host in played.hosts.values()] == [None, None]


def test_results_that_cannot_be_kept_here_end_the_night_and_blame_no_host(
    night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.fleet.sending._fetched", full)
    played = night(("a", passes))
    with pytest.raises(HarnessError, match=r"results cannot be kept: .*No space left on device"):
        played.run()
    assert played.hosts["a"].quarantined is None
    assert {row["event"] for row in read(played.folder)} == {"granted", "given up"}, "no lease is left open"


def test_who_ends_a_night_leaves_no_lease_open_and_keeps_what_has_come(night: Any) -> None:
    def half(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        first = order["items"][0]["name"]
        return passes(host, order) if first == "s0" else Said({first: "crashed"}, never=True)

    played = night(("a", half))
    played.hosts["a"].cores = 8
    (played.folder / "leases.jsonl").touch()

    async def interrupted() -> None:
        running = asyncio.create_task(played.made().run(played.cells))
        while not any(row["event"] == "ended" for row in read(played.folder)):
            await asyncio.sleep(0.01)
        await heard(played, "a")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(interrupted())
    rows = read(played.folder)
    granted = {row["id"] for row in rows if row["event"] == "granted"}
    assert {row["id"] for row in rows if row["event"] in ("ended", "given up")} == granted
    assert set(played.hosts["a"].dropped) >= granted, "its hosts end what is at work"
    assert not played.merged, "the cell has not ended"
    assert played.coordinator is not None
    (merged,) = played.coordinator.salvage("interrupted")
    verdicts = played.verdicts()
    assert "passed" in verdicts.values() and "crashed" in verdicts.values() and code_of(merged) == 1
    assert merged.problem is not None and merged.problem.endswith("interrupted")


def test_a_full_disk_here_is_told_apart_from_a_host_that_is_lost(tmp_path: Path) -> None:
    async def work() -> None:
        links = ScriptedLinks([ScriptedHost("a", tmp_path)])
        (tmp_path / "taken").write_text("")
        await fetch(links, "a", "1" * 32, [["x", 1, "0"]], tmp_path / "taken" / "out", 1.0)

    with pytest.raises(LocalError, match="results cannot be kept"):
        asyncio.run(work())


def test_one_cut_is_one_failure_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = following.Following(None, None, None, Path(), "", 60.0)  # type: ignore[arg-type]
    incidents = []
    for at in (239.5, 240.5, 300.0, 1000.0):  # seconds
        monkeypatch.setattr(following.time, "monotonic", lambda at=at: at)
        incidents.append(followed._lost(None, "a", "silent").incident)
    assert len(set(incidents[:3])) == 1 and incidents[3] != incidents[0]


def test_a_drain_is_told_and_what_is_at_work_goes_on(night: Any) -> None:
    played = night(("a", slow), ("b", passes))
    a, b = played.hosts["a"], played.hosts["b"]
    b.cores = 1

    async def drain(played: Played) -> None:
        while len(a.leases) < a.cores:
            await asyncio.sleep(0.01)
        a.draining = True
        while not any("host a: draining" in line for line in played.told):
            await asyncio.sleep(0.01)
        before = set(a.leases)
        await asyncio.sleep(0.3)
        for order, _ in list(a.leases.values()):
            a.end(order, Said(all_of(order, "passed")))
        assert set(a.leases) == before, "no new lease"

    played.run(drain)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    assert {e.partition(" ")[0] for e in played.events()} == {"granted", "ended"}


def test_the_words_of_a_host_do_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.progress import Progress

    with Progress() as progress:
        progress.tell("host a: \x1b]0;mine\x07 \x1b[2J[red]fails[/]")
        progress.say("\x1b[31mstaging")
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and "[red]fails[/]" in out


def test_two_workers_of_one_name_get_nothing_and_it_is_said(tmp_path: Path) -> None:
    from harness.fleet.certificates import make
    from harness.fleet.dask_links import DaskLinks

    make(tmp_path / "keys", ["boss"])
    links = DaskLinks("tls://127.0.0.1:1", tmp_path / "keys", "boss", 60.0)
    a, again, b = (ScriptedHost(name, tmp_path, session=session * 12).facts() for name, session in TWINS)
    now = time.monotonic()
    links._known = {"tls://1": (now, a), "tls://2": (now, again), "tls://3": (now, b)}
    assert links._twins() == {"a"}
    links._known["tls://1"] = (now - 60, a)  # it was cut off, and has joined again as another
    assert links._twins() == set()
    assert a.closed() is None
    twin = a.model_copy(update={"twin": True})
    assert twin.closed() == "two workers are called so: each needs a name of its own, as hosts.this"


def test_who_called_the_night_and_stalled_quarantines_nobody(night: Any, tmp_path: Path) -> None:
    """Nobody renewed for a while, so that all hosts have ended all that they had."""
    many = [f"s{n}" for n in range(40)]

    def stalled(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        why = "nobody renewed the lease for 60 s"
        return Said(code=1, cancelled=why) if len(host.leases) in range(1, 4) else passes(host, order)

    played = night(("a", stalled), ("b", stalled), cells=[cell(tmp_path / "night", many)]).run()
    assert played.verdicts() == dict.fromkeys(many, "passed") and code_of(played.merged["c"]) == 0
    assert [host.quarantined for host in played.hosts.values()] == [None, None]
    assert any("nobody renewed" in str(row.get("said")) for row in read(played.folder))


def test_what_has_ended_is_counted_once(night: Any) -> None:
    """Also while its host is told that nobody needs it any more."""
    played = night(("a", passes))
    a, said, drop = played.hosts["a"], list[int](), played.hosts["a"].drop

    def look(lease: str) -> None:
        assert played.coordinator is not None
        said.append(played.coordinator._following.seen)
        drop(lease)

    a.drop = look  # type: ignore[method-assign]
    played.run()
    assert max(said) == len(NAMES)
