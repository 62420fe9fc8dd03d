# SPDX-License-Identifier: Apache-2.0
"""A host's side of a lease: carried once, ended when nobody renews it, only with what its digests name."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import Config
from harness.fleet import calls, host_state
from harness.fleet import carrier as carrier_module
from harness.fleet.carrier import Carrier, LeaseError
from harness.fleet.content import ContentError, listing, pack
from harness.fleet.host_state import HostState, code_digest
from harness.fleet.lease_files import LeaseOrder, settings_text
from harness.fleet.trees import Trees, forget
from vm.config import VmConfig
from vm.files import write_json

#: In the place of ``kshs run``: leaves parts of results, then results, unless it is told to wait.
RUN = """
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[1])
parts = out / ".parts-x"
parts.mkdir(parents=True)
line = json.dumps({"kind": "begun", "id": "s", "file": "f.toml"}) + "\\n"
(parts / "results-main.jsonl").write_text(line)
while pathlib.Path("wait").exists():
    time.sleep(0.02)
(out / "results.jsonl").write_text(json.dumps({"kind": "scenario", "id": "s", "file": "f.toml"}) + "\\n")
print("kshs: done")
"""


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    return VmConfig(cache_dir=tmp_path / "cache", accelerator="tcg")


@pytest.fixture
def state(config: VmConfig) -> HostState:
    return HostState.of(Config(vm=config))


@pytest.fixture
def host(config: VmConfig, state: HostState, monkeypatch: pytest.MonkeyPatch) -> Carrier:
    def command(order: LeaseOrder, settings: Path, work: Path, out: Path) -> list[str]:
        return [sys.executable, "-c", RUN, str(out)]

    monkeypatch.setattr(carrier_module, "command", command)
    monkeypatch.setattr(carrier_module, "KSHS", ())
    return Carrier(config, state, silence=30.0)


def send(trees: Trees, tree: Path, image: dict[str, str] | None = None) -> str:
    found = listing(tree)
    for index, number in trees.expect(found.digest, found.as_json(), image):
        trees.put(found.digest, [(index, number, pack(tree, found.files[index], number))])
    if image is not None or not trees.has(found.digest):
        trees.finish(found.digest, image)
    return found.digest


@pytest.fixture
def order(host: Carrier, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives orders of the same inputs; `wait`: whether the run waits for the file to go."""

    def made(*, wait: bool = False, lease: str = "1" * 32) -> dict[str, Any]:
        inputs = tmp_path / f"inputs-{wait}"
        (inputs / "fs").mkdir(parents=True, exist_ok=True)
        (inputs / "fs" / "f.toml").write_text("text")
        if wait:
            (inputs / "fs" / "wait").write_text("")
        return {
            "id": lease, "night": "2" * 12, "shard": "c/1", "guest": "wine", "inputs": send(host.trees,
            inputs), "directory": "fs", "target": "avshs", "target_is_file": False,
            "items": [{"root": "inputs", "file": "fs/f.toml", "name": "s"}], "settings": {},
        }  # fmt: skip

    return made


def ended(host: Carrier, lease: str = "1" * 32) -> dict[str, Any]:
    for _ in range(3000):
        result = host.renew({lease: 0})[lease].get("result")
        if result is not None:
            return dict(result)
        time.sleep(0.01)
    raise AssertionError("it does not end")


def begun(host: Carrier, lease: str = "1" * 32) -> None:
    for _ in range(3000):
        if host.renew({lease: 0})[lease]["events"]:
            return
        time.sleep(0.01)
    raise AssertionError("it does not begin")


def test_a_lease_is_carried_once_and_leaves_what_is_fetched(host: Carrier, order: Any) -> None:
    host.begin(order())
    result = ended(host)
    assert (result["code"], result["cancelled"], result["error"]) == (0, None, None)
    assert [name for name, _, _ in result["files"]] == ["results.jsonl"], "nothing hidden"
    assert result["said"].endswith("kshs: done\n")
    data = host.read("1" * 32, "results.jsonl", 0)
    assert json.loads(data)["kind"] == "scenario"
    kinds = [event["kind"] for event in host.renew({"1" * 32: 0})["1" * 32]["events"]]
    assert kinds == ["begun", "scenario"]
    with pytest.raises(LeaseError, match="carried once"):
        host.begin(order())
    for name in ("../order.json", "../../x", "/etc/passwd", "none"):
        with pytest.raises(LeaseError, match="no such file"):
            host.read("1" * 32, name, 0)
    assert (host.busy, host.owed) == (0, 1), "a host that drains waits until it is fetched"
    host.drop("1" * 32)
    assert host.owed == 0
    assert host.leftovers("2" * 12) == {} and not list((host._spool).iterdir())


def test_the_end_of_a_lease_is_told_at_once_to_who_asks_for_it(host: Carrier, order: Any) -> None:
    worker = SimpleNamespace(kshs=SimpleNamespace(carrier=host))
    host.begin(order(wait=True))
    begun(host)
    renewed = host._carried["1" * 32].renewed

    async def ask() -> tuple[dict[str, Any], dict[str, Any], float]:
        at_once = await calls.renew({"1" * 32: 0}, 0.0, dask_worker=worker)
        held = asyncio.create_task(calls.renew({"1" * 32: 0}, 120.0, dask_worker=worker))
        await asyncio.sleep(0.2)
        assert not held.done()
        asked = time.monotonic()
        (host._spool / ("1" * 32) / "work" / "fs" / "wait").unlink()
        return at_once["1" * 32], (await held)["1" * 32], asked

    before, after, asked = asyncio.run(ask())
    assert before["result"] is None and after["result"]["code"] == 0
    assert [event["kind"] for event in after["events"]] == ["begun", "scenario"]
    assert renewed < host._carried["1" * 32].renewed < asked, "an answer that is kept back renews nothing"


def test_a_lease_does_not_run_a_kshs_that_is_not_the_one_of_its_worker(
    host: Carrier, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "_stamp", lambda: "touched")
    host.begin(order())
    assert ended(host)["code"] == 0, "its files are the same, but for their times"
    monkeypatch.setattr(host_state, "_digest", lambda: "f" * 64)
    host.begin(order(lease="2" * 32))
    assert "kshs has changed since this worker was started" in ended(host, "2" * 32)["error"]


def test_what_nobody_renews_is_ended(host: Carrier, order: Any) -> None:
    host.begin({**order(wait=True), "silence_s": 0.3})
    one = host._carried["1" * 32]
    for _ in range(3000):
        if one.result is not None:
            break
        time.sleep(0.01)
    assert one.result is not None and one.result["cancelled"] == "nobody renewed the lease for 0.3 s"
    assert "results.jsonl" not in [name for name, _, _ in one.result["files"]]
    assert list(host.leftovers("2" * 12)) == ["1" * 32], "who asks later is told"
    assert host.leftovers("3" * 12) == {}, "but for a lease of another night"


def test_its_next_life_tells_what_a_worker_had_that_was_killed(
    host: Carrier, order: Any, config: VmConfig, state: HostState
) -> None:
    host.begin(order(wait=True))
    begun(host)
    host.cancel("1" * 32, "the test")
    ended(host)
    again = Carrier(config, state, silence=30.0)
    assert [e["kind"] for e in again.leftovers("2" * 12)["1" * 32]] == ["begun"]
    with pytest.raises(LeaseError, match="carried once"):
        again.begin(order())


def test_what_its_digests_name_is_looked_at_before_it_runs(host: Carrier, order: Any) -> None:
    asked = order()
    (host.trees.place(asked["inputs"]) / "fs" / "f.toml").write_text("another text")
    host.begin(asked)
    result = ended(host)
    assert result["code"] is None and "not what its digest names" in result["error"]
    host.begin({**order(lease="4" * 32), "image": "e" * 64})
    assert "there is no image of this digest here" in ended(host, "4" * 32)["error"]
    with pytest.raises(ValueError, match="inputs"):
        host.begin({**asked, "id": "5" * 32, "inputs": "../x"})


def test_an_image_is_put_where_guests_come_from_and_another_of_its_name_stays(
    tmp_path: Path, config: VmConfig, state: HostState
) -> None:
    tree = tmp_path / "image"
    tree.mkdir()
    write_json(tree / "manifest.json", {"digest": "a" * 64, "family": "wine"})
    (tree / "disk.raw").write_bytes(bytes(9 << 20) + b"x")
    trees = Trees(config, state)
    image = {"home": "images", "name": f"wine-{'a' * 16}", "digest": "a" * 64}
    send(trees, tree, image)
    place = config.images_dir / image["name"]
    assert trees.images() == {"a" * 64: place}
    trees.check_image("a" * 64)
    with (place / "disk.raw").open("r+b") as disk:
        disk.seek(5)
        disk.write(b"tampered")
    with pytest.raises(ContentError, match="has changed since it was sealed"):
        trees.check_image("a" * 64)
    with pytest.raises(ContentError, match="another image of that name is here"):
        send(trees, tree, {**image, "digest": "b" * 64})
    for name in ("../x", "x/y", "", ".hidden", "a.part"):
        with pytest.raises(ContentError, match="no name of an image"):
            send(trees, tree, {**image, "name": name})
    with pytest.raises(ContentError, match="no image of that digest"):
        send(trees, tree, {"home": "images", "name": "wine-c", "digest": "c" * 64})
    assert not (config.images_dir / "wine-c").exists()


def test_a_leases_settings_are_the_nights_but_for_what_the_host_is(tmp_path: Path, order: Any) -> None:
    asked = LeaseOrder.model_validate(
        {
            **order(),
            "image": "a" * 64,
            "settings": {
                "vm": {"memory_mib": 512, "boot_timeout": 90.0, "cache_dir": "/elsewhere"},
                "limits": {"request_ms": 7, "step_s": None},
                "guests": {"lab": {"memory_mib": 8192, "legs": ["verifier"]}},
            },
        }
    )
    host = VmConfig(cache_dir=tmp_path / "c")
    told = tomllib.loads(settings_text(asked, host, tmp_path, tmp_path / "b"))
    assert told["vm"]["cache_dir"] == str(tmp_path / "c") and told["vm"]["memory_mib"] == 512
    assert told["vm"]["image"] == "a" * 64 and told["vm"]["boot_timeout"] == 90.0
    assert told["run"] == {"guest": "wine", "target": "avshs", "build": str(tmp_path / "b")}
    loaded = Config.model_validate(told)
    assert loaded.limits.request_ms == 7 and loaded.guests["lab"].memory_mib == 8192


def test_the_state_of_a_host_outlives_its_worker(state: HostState) -> None:
    assert (state.quarantined, state.draining) == (None, False)
    state.quarantine("no KVM")
    state.drain(True)
    assert (HostState(state.folder).quarantined, HostState(state.folder).draining) == ("no KVM", True)
    lock = state.hold()
    assert state.is_held()
    lock.release()
    assert not state.is_held()
    (state.folder / "host.json").write_text("[")
    assert "is damaged" in str(HostState(state.folder).quarantined), "nothing is known of it: no leases"
    state.quarantine(None)
    assert state.quarantined is None


def test_the_digest_of_the_code_is_of_all_that_runs() -> None:
    assert len(code_digest()) == 64 and code_digest() == code_digest()


def test_what_came_for_leases_can_be_removed_while_no_worker_is_at_work(
    host: Carrier, order: Any, config: VmConfig, state: HostState
) -> None:
    digest = order()["inputs"]
    lock = state.hold()
    assert forget(config) == [] and host.trees.has(digest)
    lock.release()
    assert [line.partition(" /")[0] for line in forget(config)] == [
        "received trees",
        "received incoming",
        "received images",
    ]
    assert not host.trees.has(digest) and forget(config) == []


def test_a_lease_that_is_dropped_at_work_leaves_nothing(host: Carrier, order: Any) -> None:
    host.begin(order(wait=True))
    begun(host)
    host.drop("1" * 32)
    for _ in range(3000):
        if not host.owed:
            break
        time.sleep(0.01)
    assert host.owed == 0 and not list(host._spool.iterdir())


def test_all_leases_together_take_no_more_than_the_host_lends(
    host: Carrier, order: Any, config: VmConfig, state: HostState
) -> None:
    """Two nights do not know of each other; the host knows of both."""
    lends = Carrier(config, state, silence=30.0, session="s", room=(4, 1000))

    def asked(lease: str, **needs: Any) -> dict[str, Any]:
        return {**order(wait=True, lease=lease * 32), "cores": 1, "memory_mib": 400, **needs}

    assert lends.begin(asked("1")) and lends.begin(asked("2"))
    assert not lends.begin(asked("3")), "memory"
    assert not lends.begin(asked("4", cores=3, memory_mib=1)), "cores"
    assert not lends.begin(asked("5", memory_mib=1, alone=True)), "its device is taken"
    assert lends.begin(asked("6", memory_mib=1, alone=True, guest="other"))
    assert {one["lease"][0]: one["memory_mib"] for one in lends.at_work()} == {"1": 400, "2": 400, "6": 1}
    told = lends.renew({"3" * 32: 0})["3" * 32]
    assert told == {"known": False, "session": "s", "busy": 3}
    lends.drop("3" * 32)
    with pytest.raises(LeaseError, match="given up before it was begun"):
        lends.begin(asked("3"))
    for lease in ("1", "2", "6"):
        lends.drop(lease * 32)
    for _ in range(3000):
        if not lends.busy:
            break
        time.sleep(0.01)
    assert lends.begin(asked("7", cores=4, memory_mib=1000))
    lends.drop("7" * 32)
    for _ in range(3000):
        if not lends.busy:
            break
        time.sleep(0.01)


def test_a_lease_of_an_earlier_life_is_not_known_as_one_that_is_at_work(
    host: Carrier, order: Any, config: VmConfig, state: HostState
) -> None:
    """Else who renews it would wait for its end for ever."""
    host.begin(order(wait=True))
    begun(host)
    again = Carrier(config, state, silence=30.0, session="another")
    told = again.renew({"1" * 32: 0})["1" * 32]
    assert told["known"] is False and told["session"] == "another"
    host.drop("1" * 32)


def test_a_disk_that_is_full_is_no_silence(
    host: Carrier, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    from types import SimpleNamespace

    from harness.fleet import calls

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    worker, asked = SimpleNamespace(kshs=SimpleNamespace(carrier=host)), order()
    monkeypatch.setattr(host.trees, "put", full)
    with pytest.raises(calls.HostError, match="No space left on device"):
        asyncio.run(calls.put("1" * 64, [], dask_worker=worker))
    monkeypatch.setattr(carrier_module, "write_whole", full)
    host.begin(asked)
    assert "No space left on device" in ended(host)["error"]
