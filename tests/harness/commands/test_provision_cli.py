# SPDX-License-Identifier: Apache-2.0
"""`kshs provision` as far as it goes without booting."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pycdlib
import pytest
from lxml import etree

from harness import cli
from tests.vm.windows.discs import Image, make_disc, make_wim
from vm.windows import answer_rules

CLIENT = (Image("Windows 11 Enterprise Evaluation", "EnterpriseEval", "Client", build="26200"),)


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("medium")
    return make_disc(folder / "medium.iso", {"sources/install.wim": make_wim(folder, CLIENT)})


@pytest.fixture
def kshs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.component  # the agent is built
def test_dry_run_writes_what_would_be_used(kshs, medium: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = kshs("provision", "win11", "--iso", medium, "--sha256", _sha256(medium), "--dry-run")
    assert code == 0, err
    assert "EnterpriseEval" in out and "vouched for by --sha256" in out and "evaluation: 90 days" in out
    folder = tmp_path / "out/win11"
    done = subprocess.run(
        ["virt-xml-validate", str(folder / "domain.xml"), "domain"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = (folder / "Autounattend.xml").read_bytes()
    assert answer_rules.check(answers) == []
    iso = pycdlib.PyCdlib()
    iso.open(str(folder / "provisioning.iso"))
    try:
        names = {
            child.file_identifier().decode("utf-16-be") for child in iso.list_children(joliet_path="/kshs")
        }
        on_cd = iso.get_record(joliet_path="/Autounattend.xml").get_data_length()
    finally:
        iso.close()
    assert {"first.cmd", "provision.cmd", "kshsctl.exe", "ssh"} <= names
    assert on_cd == len(answers)
    cds = etree.parse(str(folder / "domain.xml")).xpath("//disk[@device='cdrom']/source/@file")
    assert cds == [str(medium), str(folder / "provisioning.iso")]
    assert (folder / "provisioning.iso").stat().st_mode & 0o077 == 0, "keys and a password are in it"


@pytest.mark.component  # the agent is built
def test_an_unknown_medium_needs_its_hash(kshs, medium: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = kshs("provision", "win11", "--iso", medium, "--dry-run")
    assert code == 2
    assert f"--sha256 {_sha256(medium)}" in err
    code, _, err = kshs("provision", "win11", "--iso", medium, "--sha256", "0" * 64, "--dry-run")
    assert code == 2
    assert "not 0000" in err


def test_wrong_words_are_usage_errors(kshs, medium: Path) -> None:  # type: ignore[no-untyped-def]
    for words, said in (
        (("win95",), "there is no Windows guest 'win95'"),
        (("win11", "--limit", "tomorrow=3"), "STATE=MINUTES"),
        (("win11", "--limit", "installing=-1"), "STATE=MINUTES"),
        (("win11", "--limit", "installing=nan"), "STATE=MINUTES"),
        (("win11", "--limit", "installing=inf"), "STATE=MINUTES"),
        (("win11", "--limit", "sealed=5"), "STATE=MINUTES"),
        (("win11", "--limit", "installing"), "states: installing, first boot, provisioning, settled"),
        (("win11", "--sha256", "abc"), "--sha256 'abc' is no SHA-256"),
    ):
        code, _, err = kshs("provision", words[0], "--iso", medium, "--dry-run", *words[1:])
        assert (code, said in err) == (2, True), err


@pytest.mark.component  # the agent is built
def test_a_guest_of_the_settings(kshs, medium: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "kshs.toml").write_text('[guests.lab]\nedition = "EnterpriseEval"\nfirmware = "bios"\n')
    code, out, err = kshs("provision", "lab", "--iso", medium, "--sha256", _sha256(medium), "--dry-run")
    assert code == 0, err
    assert "guest: lab, bios" in out
    assert etree.parse(str(tmp_path / "out/lab/domain.xml")).find("os/loader") is None
    (tmp_path / "kshs.toml").write_text("[guests.win11]\nmemory_mib = 8192\nturbo = true\n")
    code, _, err = kshs("provision", "win11", "--iso", medium, "--dry-run")
    assert code == 2
    assert "guests.win11.turbo: there is no such key" in err


@pytest.mark.parametrize("option", ["--iso", "--openssh", "--virtio-win"])
def test_files_that_cannot_be_read_are_told_at_once(  # type: ignore[no-untyped-def]
    kshs, medium: Path, tmp_path: Path, monkeypatch, option: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **more: Any) -> Any:
        if path == secret:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    for path, said in (
        (tmp_path / "none.bin", "there is no such file"),
        (tmp_path, "this is a directory, where a file is wanted"),
        (Path("/dev/null"), "this is no regular file"),
        (secret, "cannot be read: Permission denied"),
        (secret / "below", "cannot be read: Not a directory"),
    ):
        words = ["provision", "win11", "--dry-run", option, path]
        if option != "--iso":
            words += ["--iso", medium, "--sha256", _sha256(medium)]
        code, out, err = kshs(*words)
        assert (code, err) == (2, f"kshs: {path}: {said} (check {option})\n")
        assert out == "", "nothing was begun"


@pytest.mark.component  # the agent is built
def test_what_the_files_hold_is_told_in_one_line(kshs, medium: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    noise = tmp_path / "noise.iso"
    noise.write_bytes(b"no ISO" * 20_000)
    empty = tmp_path / "empty.msi"
    empty.touch()
    trusted = ("--iso", medium, "--sha256", _sha256(medium))
    for words, path, said in (
        (("--iso", noise), noise, "this is not an ISO image"),
        ((*trusted, "--openssh", empty), empty, "this is no OpenSSH package"),
    ):
        code, _, err = kshs("provision", "win11", "--dry-run", *words)
        assert code == 2, err
        assert err.startswith(f"kshs: {path}: {said}") and len(err.splitlines()) == 1, err


@pytest.mark.component  # the agent is built
def test_a_medium_that_will_not_do_ends_with_one_line_and_exit_code_2(  # type: ignore[no-untyped-def]
    kshs, medium: Path, tmp_path: Path
) -> None:
    retail = make_wim(tmp_path, (Image("Windows 11 Pro", "Professional", "Client", build="26200"),))
    for name, data, said in (
        ("cut", medium.read_bytes()[:-6144], "the ISO image is damaged or cut off"),
        ("half", medium.read_bytes()[:9000], "the ISO image is damaged or cut off"),
        ("nothing", b"", "the ISO image is empty"),
        ("retail", {"sources/install.wim": retail}, "win11 wants edition EnterpriseEval"),
        ("split", {"SOURCES/INSTALL.SWM": b""}, "the image of this medium is split"),
        ("junk", {"sources/install.esd": b"junk"}, "this is not a WIM file"),
    ):
        iso = tmp_path / f"{name}.iso"
        if isinstance(data, bytes):
            iso.write_bytes(data)
        else:
            make_disc(iso, data)
        code, _, err = kshs("provision", "win11", "--iso", iso, "--sha256", _sha256(iso), "--dry-run")
        lines = [line for line in err.splitlines() if "reading" not in line]
        assert (code, said in err, len(lines)) == (2, True, 1), err


@pytest.mark.component  # the agent is built
def test_a_server_under_any_name_gets_a_servers_answer_file(kshs, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    iso = make_disc(tmp_path / "m.iso", {"SOURCES/INSTALL.WIM": make_wim(tmp_path, (Image("Server"),))})
    (tmp_path / "kshs.toml").write_text("[guests.lab]\nevaluation_days = 180\n[guests.server-x]\n")
    for name in ("lab", "server-x"):
        code, out, err = kshs("provision", name, "--iso", iso, "--sha256", _sha256(iso), "--dry-run")
        assert code == 0, err
        assert "image: 1 Server [ServerStandardEval, Server], build 26100.1742, amd64, en-US" in out
        assert "SystemRestore" not in (tmp_path / f"out/{name}/Autounattend.xml").read_text()


def test_out_must_be_a_place_to_write(kshs, medium: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for words, said in (
        (("--dry-run", "--out", "/dev/null"), "kshs: /dev/null: nothing can be written there: File exists"),
        (("--dry-run", "--out", medium / "x"), "nothing can be written there: Not a directory (check --out)"),
        (("--out", tmp_path), "--out is where --dry-run writes"),
    ):
        code, _, err = kshs("provision", "win11", "--iso", medium, "--sha256", _sha256(medium), *words)
        assert (code, said in err, len(err.splitlines())) == (2, True, 1), err


def test_a_run_names_the_command_that_makes_the_guest(kshs, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from harness.errors import UsageError
    from harness.guests.source import usable_guest
    from vm.config import VmConfig

    config = VmConfig(cache_dir=tmp_path)
    assert usable_guest(config, "wine", print).family == "wine"
    with pytest.raises(UsageError, match="kshs provision server2025 --iso FILE"):
        usable_guest(config, "server2025", print)
    with pytest.raises(UsageError, match="no guest 'nobody'"):
        usable_guest(config, "nobody", print)
