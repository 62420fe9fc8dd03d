# SPDX-License-Identifier: Apache-2.0
"""A night over scripted hosts: silence, failures, crashes, and whose fault each is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.commands.fleet_work import code_of
from harness.errors import HarnessError
from harness.fleet import coordinator, following, merging, sending
from harness.fleet.cells import SentCell
from harness.fleet.coordinator import Coordinator
from harness.fleet.ledger import FencedError, Ledger, read
from harness.fleet.merging import Merged
from harness.fleet.shards import Needs, Shard
from harness.results import seal
from tests.harness.fleet.scripted import FILES, Said, ScriptedHost, ScriptedLinks, cell, passes

NAMES = [f"s{n}" for n in range(8)]
#: A busy machine must not pass for a silent host.
SILENCE = 2.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "_TICK", 0.01)
    monkeypatch.setattr(following, "_EACH", 0.02)
    monkeypatch.setattr(following, "_MARGIN", 0.05)
    monkeypatch.setattr(sending, "_PAUSE", 0.02)
    monkeypatch.setattr(merging.report, "write", lambda *given: None)


class Played:
    def __init__(self, folder: Path, hosts: Sequence[ScriptedHost], cells: Sequence[SentCell]) -> None:
        self.folder, self.hosts, self.cells = folder, {host.name: host for host in hosts}, cells
        self.merged: dict[str, Merged] = {}
        self.told: list[str] = []
        self.kept: Callable[[str], None] = lambda name: None
        self.coordinator: Coordinator | None = None

    def made(self) -> Coordinator:
        self.coordinator = Coordinator(
            ScriptedLinks(list(self.hosts.values())), self.folder, "ab" * 6, "c", SILENCE,
            lambda text: None, self.told.append,
            self.ended, 2.0,
            "--scheduler tls://boss:1",
        )  # fmt: skip
        return self.coordinator

    def ended(self, one: SentCell, merged: Merged, took: float) -> None:
        self.merged[one.name] = merged
        self.kept(one.name)

    def run(self, meanwhile: Callable[[Played], Any] | None = None) -> Played:
        async def work() -> None:
            self.made()
            assert self.coordinator is not None
            other = asyncio.create_task(meanwhile(self)) if meanwhile is not None else None
            await asyncio.wait_for(self.coordinator.run(self.cells), 60)
            if other is not None:
                await asyncio.wait_for(other, 30)

        asyncio.run(work())
        return self

    def records(self, name: str = "c") -> list[dict[str, Any]]:
        lines = (self.folder / name / "results.jsonl").read_text().splitlines()
        return [r for r in map(json.loads, lines) if r["kind"] == "scenario"]

    def verdicts(self, name: str = "c") -> dict[str, str]:
        return {r["id"]: r["verdict"] for r in self.records(name)}

    def ran_on(self) -> set[str]:
        return {r["worker"].partition("/")[0] for r in self.records()}

    def events(self) -> list[str]:
        return [f"{row['event']} {row['host']}" for row in read(self.folder)]


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., Played]:
    def made(*hosts: tuple[str, Any], cells: Sequence[SentCell] = (), **expects: str) -> Played:
        scripted = [ScriptedHost(name, tmp_path / f"at-{name}", script) for name, script in hosts]
        folder = tmp_path / "night"
        folder.mkdir(exist_ok=True)
        return Played(folder, scripted, cells or [cell(folder, NAMES, **expects)])

    return made


def said(change: Callable[[Mapping[str, Any]], Said]) -> Any:
    return lambda host, order: change(order)


async def heard(played: Played, host: str) -> None:
    """Returns when something was heard of a lease there."""
    assert played.coordinator is not None
    leases = played.coordinator._following._leases
    while not any(one.events for one in list(leases.values()) if one.host == host):
        await asyncio.sleep(0.01)


def failing(text: str) -> Any:
    return lambda host, order: Said(code=3, error=text, no_results=True)


def all_of(order: Mapping[str, Any], verdict: str) -> dict[str, str]:
    return {item["name"]: verdict for item in order["items"]}


def test_each_item_once_on_all_hosts(night: Any) -> None:
    played = night(("a", passes), ("b", passes)).run()
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    assert [r["order"] for r in played.records()] == list(range(8))
    assert played.ran_on() == {"a", "b"}
    assert not any("attempts" in r for r in played.records())
    assert code_of(played.merged["c"]) == 0
    for host in played.hosts.values():
        assert set(host.dropped) == set(host.leases), "nothing stays on the hosts"
    junit = (played.folder / "c" / "junit.xml").read_text()
    assert 'tests="8" failures="0" errors="0" skipped="0"' in junit


def test_what_hosts_ran_is_sealed_and_says_what_they_deployed_as_on_one_host(night: Any) -> None:
    """Else the release gate would take no run of several hosts."""
    played = night(("a", passes), ("b", passes)).run()
    folder = played.folder / "c"
    kept = seal.read(folder)
    assert kept.run == "0" * 12 and list(kept.files) == ["results.jsonl"]
    assert [*seal.broken(folder, kept)] == []
    head = json.loads((folder / "results.jsonl").read_text().splitlines()[0])
    assert head["kind"] == "run" and head["target"]["files"] == FILES


def test_what_a_silent_host_had_goes_elsewhere_and_what_it_says_later_does_not_count(night: Any) -> None:
    def slow(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        first, *_ = order["items"]
        return Said({first["name"]: "passed"}, never=True)

    played = night(("a", slow), ("b", passes))

    async def cut(played: Played) -> None:
        a = played.hosts["a"]
        assert played.coordinator is not None
        while not a.leases:
            await asyncio.sleep(0.01)
        await heard(played, "a")
        a.silent = True
        while any(played.coordinator.ledger.holds(lease) for lease in a.leases):
            await asyncio.sleep(0.01)
        # It comes back, and has ended all of it with another verdict.
        for order, _ in list(a.leases.values()):
            a.end(order, Said(all_of(order, "failed"), code=1))
        a.silent, a.script = False, passes

    played.hosts["b"].cores = 1
    played.run(cut)
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    given_up = [row for row in read(played.folder) if row["event"] == "given up"]
    assert given_up and all("fell silent" in row["said"] for row in given_up)
    tried = [r for r in played.records() if "attempts" in r]
    assert tried
    for record in tried:
        *lost, last = record["attempts"]
        assert last["verdict"] == "passed" and "lost" not in last
        assert all(one["lost"] and one["worker"] == "a" and "given up" in one["reason"] for one in lost)
    assert code_of(played.merged["c"]) == 0


def test_a_fault_of_the_driver_that_was_heard_before_the_silence_stands(night: Any) -> None:
    def dying(host: ScriptedHost, order: Mapping[str, Any]) -> Said:
        return Said(all_of(order, "crashed"), never=True)

    played = night(("a", dying), ("b", passes))
    played.hosts["b"].cores = 1

    async def cut(played: Played) -> None:
        while not played.hosts["a"].leases:
            await asyncio.sleep(0.01)
        await heard(played, "a")
        played.hosts["a"].silent = True

    played.run(cut)
    crashed = [r for r in played.records() if r["verdict"] == "crashed"]
    assert crashed and code_of(played.merged["c"]) == 1
    for record in crashed:
        assert [one["verdict"] for one in record["attempts"]] == ["crashed", "passed"]
        assert "then the lease was given up" in record["reason"]


def test_a_driver_that_fails_crashes_or_hangs_blames_no_host(night: Any) -> None:
    verdicts = ("failed", "crashed", "hung")

    def bad(order: Mapping[str, Any]) -> Said:
        names = [item["name"] for item in order["items"]]
        return Said({name: verdicts[int(name[1:]) % 3] for name in names}, code=1)

    played = night(("a", said(bad)), ("b", said(bad))).run()
    assert set(played.verdicts().values()) == set(verdicts)
    assert played.coordinator is not None and played.coordinator.blame.strikes == []
    assert {e.partition(" ")[0] for e in played.events()} == {"granted", "ended"}
    assert len(played.hosts["a"].leases) + len(played.hosts["b"].leases) == 4, "none is tried again"
    assert code_of(played.merged["c"]) == 1


def test_a_host_whose_infrastructure_fails_is_quarantined_and_the_others_do_its_work(
    night: Any, tmp_path: Path
) -> None:
    many = [f"s{n}" for n in range(40)]
    cells = [cell(tmp_path / "night", many)]
    played = night(("a", failing("no guest can be had: no KVM")), ("b", passes), cells=cells)
    played.hosts["b"].cores = 1
    played.run()
    assert played.verdicts() == dict.fromkeys(many, "passed") and played.ran_on() == {"b"}
    reason = played.hosts["a"].quarantined
    assert reason is not None and reason.startswith("infrastructure failed 3 times: no guest can be had")
    lift = "lift it with: kshs hosts lift a --scheduler tls://boss:1"
    assert any(line.endswith(lift) for line in played.told), played.told
    assert len(played.hosts["a"].leases) < 10, "it gets no more of them"
    assert played.hosts["b"].quarantined is None and code_of(played.merged["c"]) == 0


def test_a_cell_that_fails_on_every_host_is_broken_and_no_host_is(night: Any) -> None:
    played = night(("a", failing("the image does not boot")), ("b", failing("the image does not boot"))).run()
    assert [host.quarantined for host in played.hosts.values()] == [None, None]
    assert set(played.verdicts().values()) == {"error"}
    assert all("the image does not boot" in r["reason"] for r in played.records())
    assert code_of(played.merged["c"]) == 3


def test_an_error_is_tried_elsewhere_and_what_worked_beside_it_is_kept(night: Any) -> None:
    def odd(order: Mapping[str, Any]) -> Said:
        found = all_of(order, "passed")
        return Said({**found, "s3": "error"} if "s3" in found else found, code=3 if "s3" in found else 0)

    played = night(("a", said(odd)), ("b", passes))
    played.hosts["b"].cores = 1
    played.run()
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    tried = [r for r in played.records() if "attempts" in r]
    for record in tried:
        assert record["id"] == "s3", "only that one was run again"
        assert [one["verdict"] for one in record["attempts"]] == ["error", "passed"]


def test_a_guest_that_is_lost_on_every_host_blames_none(night: Any) -> None:
    def lost(order: Mapping[str, Any]) -> Said:
        found = all_of(order, "passed")
        return Said({name: "error" if name in ("s2", "s5") else "passed" for name in found}, code=3)

    played = night(("a", said(lost))).run()
    assert {name for name, verdict in played.verdicts().items() if verdict == "error"} == {"s2", "s5"}
    assert played.hosts["a"].quarantined is None, "other guests of it work"
    for record in played.records():
        if record["verdict"] == "error":
            assert [one["verdict"] for one in record["attempts"]] == ["error"] * 3
    assert code_of(played.merged["c"]) == 3


def test_a_lease_that_ran_on_something_else_than_its_digests_name_does_not_count(night: Any) -> None:
    def other(order: Mapping[str, Any]) -> Said:
        return Said(all_of(order, "failed"), code=1, image="e" * 64)

    played = night(("a", said(other)), ("b", passes), image="f" * 64)
    played.hosts["b"].cores = 1
    played.run()
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    assert any("it ran with another image than it was given" in line for line in played.told)


def test_what_is_refused_is_the_cells_fault_and_said(night: Any) -> None:
    refused = said(lambda order: Said(code=2, said="...\nkshs: t.toml:3: there is no pin\n", no_results=True))
    played = night(("a", refused), ("b", refused)).run()
    assert set(played.verdicts().values()) == {"error"}
    assert played.merged["c"].problem == "8 items not run: t.toml:3: there is no pin"
    assert played.coordinator is not None and played.coordinator.blame.strikes == []


def test_a_store_that_takes_its_time_keeps_no_host_waiting(night: Any, tmp_path: Path) -> None:
    names = ["c", "d", "e"]
    played = night(("a", passes), cells=[cell(tmp_path / "night", NAMES, name) for name in names])
    played.hosts["a"].cores = 1
    ended_by_then: list[set[str]] = []

    def kept(name: str) -> None:
        end = time.monotonic() + 20
        while not ended_by_then and time.monotonic() < end:  # the first one: until all leases have ended
            ended = {row["cell"] for row in read(played.folder) if row["event"] == "ended"}
            if ended == set(names):
                break
            time.sleep(0.01)
        ended_by_then.append({row["cell"] for row in read(played.folder) if row["event"] == "ended"})

    played.kept = kept
    played.run()
    assert ended_by_then == [set(names)] * 3
    assert set(played.merged) == set(names)
    assert all(played.verdicts(name) == dict.fromkeys(NAMES, "passed") for name in names)


def test_a_night_whose_results_cannot_be_kept_ends_and_says_so(night: Any) -> None:
    played = night(("a", passes))

    def kept(name: str) -> None:
        raise HarnessError("the disk is full", where=name)

    played.kept = kept
    with pytest.raises(HarnessError, match="the disk is full"):
        played.run()
    assert {e.partition(" ")[0] for e in played.events()} == {"granted", "ended"}


def test_no_host_no_result(night: Any) -> None:
    played = night(("a", passes), ("b", passes))
    played.hosts["a"].quarantined, played.hosts["b"].code = "the disk is full", "another"
    played.run()
    problem = played.merged["c"].problem
    assert problem is not None and "a: quarantined: the disk is full" in problem and "another kshs" in problem
    assert code_of(played.merged["c"]) == 3 and not played.hosts["a"].leases


def test_a_lifted_quarantine_is_heard_of(night: Any, tmp_path: Path) -> None:
    many = [f"s{n}" for n in range(40)]
    cells = [cell(tmp_path / "night", many)]
    played = night(("a", failing("no room")), ("b", passes), cells=cells)
    played.hosts["b"].cores = 1

    def end_all(host: ScriptedHost) -> bool:
        at_work = [order for order, said in host.leases.values() if said.never]
        for order in at_work:
            host.end(order, passes(host, order))
        return bool(at_work)

    async def lift(played: Played) -> None:
        b, a = played.hosts["b"], played.hosts["a"]
        b.script = said(lambda order: Said(never=True))
        while a.quarantined is None:
            end_all(b)  # it works: so what fails on the other is that host's fault
            await asyncio.sleep(0.01)
        while not any("quarantined" in line for line in played.told):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        a.script, a.quarantined, b.script = passes, None, passes
        while not any("was lifted" in line for line in played.told):
            await asyncio.sleep(0.01)
        end_all(b)

    played.run(lift)
    assert played.verdicts() == dict.fromkeys(many, "passed")


def test_items_that_a_lease_forgot_are_run_elsewhere(night: Any) -> None:
    def first(order: Mapping[str, Any]) -> Said:
        return Said(dict(list(all_of(order, "passed").items())[:1]))

    played = night(("a", said(first)), ("b", passes)).run()
    assert played.verdicts() == dict.fromkeys(NAMES, "passed")
    assert played.merged["c"].problem is None


def test_the_ledger_takes_nothing_of_a_lease_that_is_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    shard = Shard("c/1", "c", Needs("wine", "i", 1), ("k",), 1.0)
    first, second = ledger.grant(shard, "a"), ledger.grant(shard, "b")
    assert first.id != second.id and ledger.holds(first.id)
    ledger.give_up(first.id, "silent")
    with pytest.raises(FencedError):
        ledger.end(first.id, "exit code 0")
    ledger.end(second.id, "exit code 0")
    for over in (ledger.end, ledger.give_up):
        with pytest.raises(FencedError):
            over(second.id, "again")
    ledger.close()
    assert [row["event"] for row in read(tmp_path)] == ["granted", "granted", "given up", "ended"]


def test_a_night_that_was_killed_leaves_no_lease_open(tmp_path: Path) -> None:
    shard = Shard("c/1", "c", Needs("wine", "i", 1), ("k",), 1.0)
    killed = Ledger(tmp_path)
    ended, open_ = killed.grant(shard, "a"), killed.grant(shard, "b")
    killed.end(ended.id, "exit code 0")
    with (tmp_path / "leases.jsonl").open("a") as torn:
        torn.write('{"event":"gran')
    again = Ledger(tmp_path)
    assert again.grant(shard, "a").number == 3 and not again.holds(open_.id)
    assert [row["event"] for row in read(tmp_path)] == ["granted", "granted", "ended", "given up", "granted"]
