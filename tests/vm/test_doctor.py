# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vm import apt, commands, doctor, namespaces, preflight, trials
from vm.config import VmConfig
from vm.debian import host_suite
from vm.errors import CommandFailed, VmError


@pytest.fixture
def config(tmp_path: Path) -> VmConfig:
    sources = tmp_path / "sources"
    sources.write_text("deb http://mirror.example trixie main\n")
    return VmConfig(cache_dir=tmp_path / "cache", suite="trixie", apt_sources=sources)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that succeed: what they do on this host is another test's."""
    for name in ("mirror", "accelerator", "plugin", "hypervisor", "replay"):
        monkeypatch.setattr(trials, name, lambda _config: "works")
    monkeypatch.setattr(namespaces, "attempt", lambda: "works")


def bad(config: VmConfig) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks(config) if not check.ok}


@pytest.mark.usefixtures("quiet")
def test_the_doctor_names_what_is_missing(config: VmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find", lambda name: None if name == "mmdebstrap" else f"/usr/bin/{name}")
    monkeypatch.setattr(doctor, "DISK_BYTES", 1 << 80)
    monkeypatch.setattr(doctor, "QEMU_USER", "nobody-by-this-name")
    found = bad(config)
    assert found["mmdebstrap"].fix == doctor.as_root("apt-get install -y mmdebstrap")
    assert found["disk space"].fix == "kshs clean"
    if os.getuid() == 0:
        assert found["libvirt's user"].fix.startswith("useradd")


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.usefixtures("quiet")
def test_every_mend_is_a_command_for_this_user(
    config: VmConfig, monkeypatch: pytest.MonkeyPatch, user: int, tmp_path: Path
) -> None:
    def fails(*_args: object) -> str:
        raise VmError("does not work", hint="run: apt-get install -y something")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)  # and nobody may have that number
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(doctor, "find", lambda _name: None)
    monkeypatch.setattr(doctor, "DISK_BYTES", 1 << 80)
    monkeypatch.setattr(doctor, "_DRIVERS", ())
    monkeypatch.setattr(doctor, "QEMU_USER", "nobody-by-this-name")
    monkeypatch.setattr(doctor, "free_port", fails)
    monkeypatch.setattr(doctor, "private_directory", fails)
    for name in ("mirror", "accelerator", "hypervisor", "replay"):
        monkeypatch.setattr(trials, name, fails)
    monkeypatch.setattr(namespaces, "attempt", fails)
    found = bad(config)
    assert len(found) > 15
    for check in found.values():
        words = shlex.split(check.fix)
        assert words, check.name
        if words[0] == "sudo":
            assert user != 0, check.name
            words = words[1:]
        elif words[0] in ("apt-get", "useradd", "usermod"):
            assert user == 0, check.name
        known = ("kshs", "export", "sysctl", "docker", "unshare", "ip", "ps", "apt-get", "useradd", "usermod")
        assert Path(words[0]).name in known, check.fix


@pytest.mark.usefixtures("quiet")
def test_without_the_plugin_all_but_coverage_works(config: VmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: object) -> str:
        raise VmError("QEMU takes no plugin")

    monkeypatch.setattr(trials, "plugin", fails)
    (check,) = (check for check in doctor.checks(config) if check.name == "coverage plugin")
    assert check.ok
    assert check.detail == "kshs run --coverage cannot be had: QEMU takes no plugin"


@pytest.mark.parametrize("trial", ["mirror", "attempt", "accelerator", "hypervisor"])
@pytest.mark.usefixtures("quiet")
def test_what_does_not_work_is_bad_though_all_is_installed(
    config: VmConfig, monkeypatch: pytest.MonkeyPatch, trial: str
) -> None:
    def fails(*_args: object) -> str:
        raise VmError("was tried and does not work")

    monkeypatch.setattr(namespaces if trial == "attempt" else trials, trial, fails)
    (check,) = (check for check in doctor.checks(config) if "was tried" in check.detail)
    assert not check.ok
    assert check.fix


def test_what_an_image_needs_is_told_at_once(config: VmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preflight, "find", lambda name: None if name in ("mke2fs", "hardlink") else f"/usr/bin/{name}"
    )
    monkeypatch.setattr(preflight, "DISK_BYTES", 1 << 80)
    monkeypatch.setattr(namespaces, "attempt", lambda: "works")

    def no_key() -> None:
        raise VmError("no keyring")

    with pytest.raises(VmError) as caught:
        preflight.require(config, ("mke2fs", "hardlink", "unshare"), no_key)
    said = str(caught.value)
    assert "mke2fs, hardlink are not installed; run: apt-get install -y e2fsprogs util-linux" in said
    assert "4 are needed" in said
    assert "no keyring" in said
    assert "\n" not in said


def test_where_nothing_is_missing_the_image_is_built(
    config: VmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(namespaces, "attempt", lambda: looked.append("namespaces"))
    preflight.require(config, ("sh",), lambda: looked.append("keys"))
    assert looked == ["namespaces", "keys"]


@pytest.mark.parametrize(("name", "forbids", "allows"), namespaces._FORBIDDEN_BY)
def test_what_forbids_namespaces_to_users_is_mended_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, forbids: str, allows: str
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{forbids}\n")
    assert namespaces.fix(tmp_path) == f"sudo /usr/sbin/sysctl -w {name.replace('/', '.')}={allows}"
    (tmp_path / name).write_text(f"{allows}\n")
    assert "uidmap" in namespaces.fix(tmp_path)


def test_a_root_that_is_no_mount_point_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    mounts = tmp_path / "mountinfo"
    mounts.write_text("36 35 98:0 / /proc rw - proc proc rw\n")
    assert namespaces.fix(tmp_path, mounts).startswith("mount --rbind ")
    mounts.write_text("25 1 98:0 / / rw - ext4 /dev/x rw\n36 25 98:0 / /proc rw - proc proc rw\n")
    assert "--privileged" in namespaces.fix(tmp_path, mounts)


def test_refused_namespaces_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_more: object) -> bytes:
        raise CommandFailed("trying namespaces: unshare failed (exit code 1): Operation not permitted")

    monkeypatch.setattr(namespaces, "run", refused)
    with pytest.raises(VmError, match=r"cannot be built by this user: .*Operation not permitted"):
        namespaces.attempt()


def test_a_mirror_whose_keyring_is_missing_is_not_asked(
    config: VmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "run", lambda *_args, **_more: pytest.fail("asked"))
    assert config.apt_sources is not None
    config.apt_sources.write_text(
        "deb [signed-by=/k/debian-archive-x.gpg] http://mirror.example trixie main\n"
    )
    with pytest.raises(
        VmError, match=r"/k/debian-archive-x\.gpg: .*apt-get install -y debian-archive-keyring"
    ):
        trials.mirror(config)


def test_programs_of_root_are_found_where_path_leaves_them_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian gives a user no sbin directory, and mke2fs lies there; so do programs that ours start."""
    only = tmp_path / "bin"
    only.mkdir()
    for name in ("setpriv", "sh", "unshare"):
        (only / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(only))
    assert Path(commands.require("mke2fs")).name == "mke2fs"
    told = commands.run(["sh", "-c", "command -v chroot; command -v mke2fs"], what="looking").decode().split()
    assert [Path(name).name for name in told] == ["chroot", "mke2fs"]


OS_RELEASES: dict[str, tuple[str, str]] = {
    "Debian 12": ('ID=debian\nVERSION_CODENAME=bookworm\nVERSION_ID="12"\n', "bookworm"),
    "Debian 13": (
        'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_CODENAME="trixie"\nID=debian\n',
        "trixie",
    ),
    "Debian of the future": ("ID=debian\nVERSION_CODENAME=forky\n", "trixie"),
    "Ubuntu": ('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME="noble"\n', "trixie"),
    "nothing": ("", "trixie"),
}


@pytest.mark.parametrize("host", OS_RELEASES)
def test_the_guest_is_of_the_hosts_release_where_that_is_known(tmp_path: Path, host: str) -> None:
    text, suite = OS_RELEASES[host]
    (tmp_path / "os-release").write_text(text)
    assert host_suite(tmp_path / "os-release") == suite
    assert host_suite(tmp_path / "none") == "trixie"


def lines(check: Callable[[], str]) -> int:
    return len(check().splitlines())


@pytest.mark.component
def test_the_trials_of_this_host(tmp_path: Path) -> None:
    config = VmConfig(cache_dir=tmp_path / "cache")
    assert lines(namespaces.attempt) == 1
    assert "a trial guest ran in" in trials.accelerator(config)
