# SPDX-License-Identifier: Apache-2.0
"""What goes where: the policy itself, and a whole night of it with fake leases."""

from __future__ import annotations

from dataclasses import replace

from harness.fleet.blame import Blame
from harness.fleet.policy import Load, Waiting, at_once, place
from harness.fleet.shards import Needs, Shard, split
from harness.fleet.simulation import bound, example, simulate

WINE = Needs("wine", "i1", 1000)


def host(name: str, cores: int = 4, memory: int = 8000, kind: str = "kvm", **more: object) -> Load:
    return Load(name, cores, memory, 100_000, kind, {"i1"}, **more)  # type: ignore[arg-type]


def shard(name: str, seconds: float = 60, needs: Needs = WINE, **more: object) -> Shard:
    return Shard(name, name.partition("/")[0], needs, (name,), seconds, **more)  # type: ignore[arg-type]


def placed(shards: list[Shard], hosts: list[Load]) -> dict[str, str]:
    return {one.id: load.name for one, load in place(Waiting(shards), hosts)}


def test_memory_and_cores_bound_what_a_host_gets() -> None:
    many = [shard(f"c/{n}") for n in range(9)]
    assert len(placed(many, [host("a")])) == 4, "cores"
    assert len(placed(many, [host("a", memory=2500)])) == 2, "memory"
    assert placed(many, [host("a", memory=900)]) == {}
    assert placed(many, [host("a", closed="draining")]) == {}


def test_the_longest_goes_first_and_what_few_can_carry_before_it() -> None:
    rare = replace(WINE, guest="big", memory_mib=7000)
    hosts = [host("a", cores=1), host("b", cores=1, memory=2000)]
    shards = [shard("short", 10), shard("long", 900), shard("rare", 5, rare)]
    assert placed(shards, hosts) == {"rare": "a", "long": "b"}


def test_a_host_that_has_the_image_is_preferred_and_one_without_room_for_it_gets_none() -> None:
    empty, full = host("a"), host("b")
    empty.images, empty.disk_mib = set(), 6000
    assert placed([shard("c/1")], [empty, full]) == {"c/1": "b"}
    large = replace(WINE, image_bytes=4 << 30)
    assert placed([shard("c/1", needs=large)], [empty]) == {}, "4 GiB stay free"


def test_a_cell_of_one_kind_of_accelerator_never_runs_on_the_other() -> None:
    needs = replace(WINE, accelerator="kvm")
    assert placed([shard("c/1", needs=needs)], [host("a", kind="tcg")]) == {}
    assert at_once(needs, [host("a", kind="tcg"), host("b", memory=3500)]) == 3


def test_a_device_is_in_one_guest_of_a_host_at_a_time() -> None:
    needs = replace(WINE, alone=True)
    assert len(placed([shard(f"c/{n}", needs=needs) for n in range(3)], [host("a"), host("b")])) == 2


def test_not_again_where_it_has_failed_while_another_can_carry_it() -> None:
    failed = shard("c/1", avoid=frozenset({"a"}))
    b = host("b", cores=1)
    b.take(WINE)
    assert placed([failed], [host("a"), b]) == {}, "it waits for b"
    assert placed([failed], [host("a"), host("b", closed="silent")]) == {"c/1": "a"}, "nobody else is left"


def test_shards_have_about_the_same_length_and_all_items_once() -> None:
    items = [(f"k{n}", 1.0 + n % 3) for n in range(1000)]
    shards = split("c", WINE, items, at_once=5, least=10)
    assert [key for one in shards for key in one.keys] == [key for key, _ in items]
    lengths = [one.seconds for one in shards]
    assert 18 <= len(shards) <= 22 and max(lengths) < 1.2 * 2000 / 20
    assert len(split("c", WINE, items * 2, at_once=1)) == 2, "1,000 at most, however long"
    assert len(split("c", WINE, items[:30], at_once=9, least=10_000)) == 1
    several = split("c", WINE, items[:60], at_once=9, least=10_000)
    assert len(several) in (9, 10), "no guest is idle meanwhile"


def test_a_cell_is_not_cut_for_hosts_that_another_cell_keeps_busy() -> None:
    items = [(f"k{n}", 0.07) for n in range(900)]
    assert len(split("c", WINE, items, at_once=2)) == 2, "alone, half of it for each host"
    assert len(split("c", WINE, items, at_once=2, beside_it=63.0)) == 1, "the other host has the other cell"
    assert len(split("c", WINE, items, at_once=4, beside_it=63.0)) == 2


def test_a_host_is_quarantined_when_its_infrastructure_fails_three_times() -> None:
    blame = Blame()
    blame.worked("c")
    for number in range(3):
        assert blame.sentence("a", others=True) is None
        blame.failed("a", f"c/{number}", "c", f"no guest {number}", f"lease {number}")
    assert blame.sentence("a", others=True) == (
        "infrastructure failed 3 times: no guest 0; no guest 1; no guest 2"
    )
    assert blame.sentence("b", others=True) is None
    blame.forgive("a")
    assert blame.sentence("a", others=True) is None


def test_one_cut_of_the_net_is_one_failure_whatever_it_has_cost() -> None:
    blame = Blame()
    blame.worked("c")
    for number in range(5):
        blame.failed("a", f"c/{number}", "c", "silent", "the same cut")
    assert blame.sentence("a", others=True) is None


def test_what_fails_wherever_it_goes_is_held_against_no_host() -> None:
    blame = Blame()
    for number in range(4):  # a cell whose image is broken, on every host at once
        for name in "ab":
            blame.failed(name, f"c/{number}", "c", "no guest", f"{name}{number}")
    assert blame.sentence("a", others=True) is None, "it has worked nowhere: all of it is one failure"
    blame.worked("c")
    assert blame.sentence("a", others=True) is not None, "now that it has, it is the host"
    for number in range(4):
        blame.acquit(f"c/{number}")
    assert blame.strikes == []


def test_where_there_is_one_host_its_failures_are_its_own() -> None:
    blame = Blame()
    for number in range(3):
        blame.failed("a", f"c/{number}", "c", "no guest", f"{number}")
    assert blame.sentence("a", others=False) is not None


def test_ten_thousand_cells_on_two_hundred_hosts_end_within_a_tenth_of_the_bound() -> None:
    shards, hosts = example()
    least = bound(shards, hosts)
    outcome = simulate(shards, hosts)
    assert len(outcome.ended) == 10_000 and set(outcome.runs.values()) == {1}
    assert least <= outcome.seconds <= 1.1 * least
    assert all(load.cores_taken == load.memory_taken == 0 for load in hosts)


def test_dead_and_broken_hosts_cost_time_and_no_result() -> None:
    shards, hosts = example(cells=600, hosts=24, seed=3)
    outcome = simulate(shards, hosts, dies={"h1": 100.0, "h2": 300.0}, broken=frozenset({"h5"}))
    assert set(outcome.ended) == {one.id for one in shards}
    assert "h5" in outcome.quarantined and "h5" not in outcome.ended.values()
    assert not {"h1", "h2"} & set(outcome.quarantined), "a host that died once is not a broken one"
    again = [name for name, runs in outcome.runs.items() if runs > 1]
    assert again and all(outcome.ended[name] not in ("h5",) for name in again)
    assert outcome.seconds < 1.6 * bound(shards, [one for one in hosts if one.closed is None])
