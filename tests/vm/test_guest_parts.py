# SPDX-License-Identifier: Apache-2.0
"""The parts of a guest that can be looked at without one."""

from __future__ import annotations

import shlex
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from vm import ssh
from vm.accel import Accelerator
from vm.domain import QEMU_NAMESPACE, LinuxGuest
from vm.errors import GuestLost, GuestTimeout, VmError
from vm.events import GuestEvents
from vm.family import Wine, family
from vm.plugin.build import Plugin
from vm.ports import free_port, with_free_port


def described(tmp_path: Path, kind: str = "tcg", **changes: object) -> etree._Element:
    values: dict[str, object] = {
        "name": "kshs-r0-abc-1",
        "uuid": "11111111-2222-3333-4444-555555555555",
        "emulator": "/usr/bin/qemu-system-x86_64",
        "machine": "q35",
        "accelerator": Accelerator(kind, ""),  # type: ignore[arg-type]
        "memory_mib": 448,
        "kernel": tmp_path / "vmlinuz",
        "initrd": tmp_path / "initrd",
        "disk": tmp_path / "a & b, c.qcow2",
        "ram": tmp_path / "a,b",
        "ram_shared": False,
        "port": 2222,
        "evidence": tmp_path,
        "incoming": True,
    } | changes
    text = LinuxGuest(**values).xml()  # type: ignore[arg-type]
    path = tmp_path / "domain.xml"
    path.write_text(text)
    subprocess.run(["virt-xml-validate", path, "domain"], check=True, capture_output=True)
    return etree.fromstring(text)


def qemu_arguments(domain: etree._Element) -> list[str]:
    return [str(node.get("value")) for node in domain.iter(f"{{{QEMU_NAMESPACE}}}arg")]


def test_a_plugin_is_qemus_last_argument(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path / "a,b.so", 1).argument(tmp_path / "c,d")
    assert qemu_arguments(described(tmp_path, plugin=plugin))[-2:] == [
        "-plugin",
        f"file={tmp_path}/a,,b.so,map={tmp_path}/c,,d",
    ]
    assert "-plugin" not in qemu_arguments(described(tmp_path))


def test_a_fork_maps_the_memory_privately(tmp_path: Path) -> None:
    domain = described(tmp_path)
    arguments = qemu_arguments(domain)
    assert any(f"mem-path={tmp_path}/a,,b,share=off" in argument for argument in arguments)
    assert arguments[-2:] == ["-incoming", "defer"]
    assert domain.findtext("cpu/model") == "qemu64"
    assert domain.find("devices/disk/source").get("file") == f"{tmp_path}/a & b, c.qcow2"  # type: ignore[union-attr]
    assert any("restrict=on,hostfwd=tcp:127.0.0.1:2222-:22" in argument for argument in arguments)


def test_a_template_in_the_making_shares_it(tmp_path: Path) -> None:
    arguments = qemu_arguments(described(tmp_path, ram_shared=True, incoming=False))
    assert any("share=on" in argument for argument in arguments)
    assert "-incoming" not in arguments


def test_with_kvm_the_hosts_processor_is_passed_on(tmp_path: Path) -> None:
    domain = described(tmp_path, "kvm")
    assert domain.get("type") == "kvm"
    assert domain.find("cpu").get("mode") == "host-passthrough"  # type: ignore[union-attr]
    assert domain.find("features/tcg") is None


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_the_shell_gives_a_program_its_arguments_unchanged(arguments: list[str]) -> None:
    words = shlex.split(Wine().windows_program(arguments))
    assert words[words.index("/usr/lib/wine/wine64") + 1 :] == arguments


def test_windows_paths_lie_in_the_prefix() -> None:
    assert Wine().sftp_path(r"C:\kshs\a b.sys") == "/root/.wine/drive_c/kshs/a b.sys"
    assert Wine().sftp_path("c:/kshs/x") == "/root/.wine/drive_c/kshs/x"
    assert Wine().sftp_path("/root/x") == "/root/x"
    for wrong in (r"D:\x", r"C:x", r"\\server\share\x"):
        with pytest.raises(VmError, match="on C:"):
            Wine().sftp_path(wrong)
    with pytest.raises(VmError, match="no guest family 'dos'; families: wine"):
        family("dos")


def test_events_say_what_happened() -> None:
    events = GuestEvents()
    events.record("resumed")
    assert events.describe() == "the guest is running"
    assert not events.wait(lambda one: one.stopped, 0.01)
    threading.Timer(0.05, events.record, ("stopped", "QEMU ended by itself")).start()
    assert events.wait(lambda one: one.stopped, 5)
    assert "QEMU ended by itself" in events.describe()
    assert not events.crashed
    events.record("crashed")
    assert events.crashed
    assert events.describe() == "the guest crashed"


def test_an_end_that_was_asked_for_is_no_failure() -> None:
    events = GuestEvents()
    events.expect_end()
    events.record("stopped", "QEMU ended by itself")
    assert events.describe() == "the guest was released"


def test_a_port_that_was_taken_meanwhile_is_replaced() -> None:
    tried: list[int] = []

    def start(port: int) -> str:
        tried.append(port)
        if len(tried) < 3:
            raise VmError("internal error: Could not set up host forwarding rule 'tcp:...'")
        return "started"

    assert with_free_port(start) == ("started", tried[-1])
    assert len(tried) == 3
    with pytest.raises(VmError, match="no memory"):
        with_free_port(lambda _port: (_ for _ in ()).throw(VmError("no memory")))


class Server:
    """Listens like QEMU's user network: some connections stay silent, then one is answered."""

    def __init__(self, silent: int, answer: bytes) -> None:
        self.seen = 0
        self._silent, self._answer = silent, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._links: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.seen += 1
            self._links.append(link)
            if self.seen > self._silent:
                link.sendall(self._answer)

    def close(self) -> None:
        for link in (*self._links, self._listener):
            link.close()


@pytest.fixture
def endpoint(tmp_path: Path) -> ssh.Endpoint:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return ssh.Endpoint(free_port(), tmp_path / "key", (tmp_path / "key.pub").read_text())


def at(endpoint: ssh.Endpoint, port: int) -> ssh.Endpoint:
    return ssh.Endpoint(port, endpoint.client_key, endpoint.host_key)


def test_a_booting_guest_is_asked_again_soon(endpoint: ssh.Endpoint) -> None:
    server = Server(silent=3, answer=b"x")
    link = None
    try:
        for _ in range(4):
            assert link is None
            link = ssh._speaking(at(endpoint, server.port), 0.2)
        assert link is not None
        assert server.seen == 4
    finally:
        server.close()
        if link is not None:
            link.close()


def test_a_forked_guest_is_asked_once_and_patiently(endpoint: ssh.Endpoint) -> None:
    server = Server(silent=99, answer=b"")
    with pytest.raises(GuestTimeout, match="no SSH server within 1 s"):
        ssh.connect(at(endpoint, server.port), 1)
    assert server.seen == 1
    server.close()


def test_what_is_no_ssh_server_is_refused(endpoint: ssh.Endpoint) -> None:
    server = Server(silent=0, answer=b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
    with pytest.raises(GuestLost, match="SSH cannot be set up"):
        ssh.connect(at(endpoint, server.port), 5)
    server.close()


def test_a_port_where_nobody_listens_times_out(endpoint: ssh.Endpoint) -> None:
    with pytest.raises(GuestTimeout):
        ssh.connect(endpoint, 0.5, booting=True)
