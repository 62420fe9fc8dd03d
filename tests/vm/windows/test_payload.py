# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pycdlib
import pytest
from lxml import etree
from pydantic import ValidationError

from vm.errors import VmError
from vm.windows import answer_file, cd, payload
from vm.windows.payload import Payload, Secrets
from vm.windows.profile import BUILTIN, Leg, WindowsProfile

SECRETS = Secrets("Pa55-word", b"PRIVATE KEY", "ssh-ed25519 HOST", "ssh-ed25519 CLIENT")
MSI = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"rest of the package"


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "kshsctl.exe"
    path.write_bytes(b"MZ the agent")
    return path


def made(agent: Path, profile: WindowsProfile = BUILTIN["server2022"], **more: Any) -> Payload:
    return payload.build(
        profile, **{"image_index": 2, "server": True, "secrets": SECRETS, "agent": agent, **more}
    )


def content(result: Payload, name: str) -> bytes:
    source = result.files[name]
    return source if isinstance(source, bytes) else source.read_bytes()


def test_everything_is_there_and_summed_up(agent: Path, tmp_path: Path) -> None:
    certificate, package = tmp_path / "root.cer", tmp_path / "OpenSSH-Win64-v10.msi"
    certificate.write_bytes(b"0 a certificate")
    package.write_bytes(MSI)
    result = made(agent, certificates=[certificate], openssh=package)
    below = {name for name in result.files if name.startswith("kshs/")} - {"kshs/files.sha256"}
    assert "kshs/certs/01-root.cer" in below
    assert "kshs/openssh/OpenSSH.msi" in below
    assert "kshs/ssh/ssh_host_ed25519_key" in below
    sums = dict(
        reversed(line.split("  ", 1)) for line in content(result, "kshs/files.sha256").decode().splitlines()
    )
    assert set(sums) == {name.removeprefix("kshs/") for name in below}
    for name, digest in sums.items():
        assert hashlib.sha256(content(result, f"kshs/{name}")).hexdigest() == digest
    steps = content(result, "kshs/steps.txt").decode().split("\r\n")
    assert (*steps[:-1],) == result.steps
    for name in set(result.steps) - {"--"}:
        assert f"kshs/steps/{name}.cmd" in below


def test_it_becomes_a_cd(agent: Path, tmp_path: Path) -> None:
    result = made(agent)
    image = cd.write(tmp_path / "cd.iso", result.files)
    iso = pycdlib.PyCdlib()
    iso.open(str(image))
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, joliet_path="/kshs/steps/openssh.cmd")
    iso.close()
    assert out.getvalue() == content(result, "kshs/steps/openssh.cmd")


def test_the_answer_file_logs_on_often_enough(agent: Path) -> None:
    root = etree.fromstring(content(made(agent), cd.ANSWER_FILE))
    count = root.findtext(f".//{{{answer_file.NAMESPACE}}}LogonCount")
    assert int(count or 0) > payload.MAXIMUM_STARTS


def test_the_digest_knows_everything_but_the_secrets(agent: Path, tmp_path: Path) -> None:
    digest = made(agent).digest
    other = Secrets("another", b"KEY 2", "ssh-ed25519 H2", "ssh-ed25519 C2")
    changed = made(agent, secrets=other)
    assert changed.digest == digest
    assert content(changed, "kshs/ssh/ssh_host_ed25519_key") == b"KEY 2"
    assert b"another" in content(changed, cd.ANSWER_FILE)
    assert made(agent, image_index=1).digest != digest
    assert made(agent, settle_seconds=(1, 2)).digest != digest
    agent.write_bytes(b"MZ another agent")
    assert made(agent).digest != digest


def test_no_secret_is_in_what_the_digest_is_made_of(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, bytes | Path]] = []
    original = cd.content_digest
    monkeypatch.setattr(cd, "content_digest", lambda files: seen.append(dict(files)) or original(files))
    made(agent)
    [files] = seen
    for source in files.values():
        data = source if isinstance(source, bytes) else source.read_bytes()
        for secret in (b"Pa55-word", b"PRIVATE KEY", b"ssh-ed25519 CLIENT"):
            assert secret not in data


def test_legs_add_their_steps_and_settings(agent: Path) -> None:
    plain = made(agent)
    assert not {"verifier", "hvci"} & set(plain.steps)
    assert b"VERIFIER" not in content(plain, "kshs/settings.cmd")
    both = made(agent, BUILTIN["win11"].model_copy(update={"legs": frozenset(Leg)}))
    restart = both.steps.index("--")
    assert {"verifier", "hvci"} < set(both.steps[:restart]), "they want the restart"
    settings = content(both, "kshs/settings.cmd").decode()
    assert 'set "KSHS_VERIFIER_CLASSES=1 2 4 5 6 8 9 12 17 18 34"\r\n' in settings
    assert 'set "KSHS_POLICIES=testsigning hvci"\r\n' in settings


def test_verifier_watches_the_drivers_of_the_profile_from_the_first_start_on(agent: Path) -> None:
    more = {"legs": [Leg.VERIFIER], "verifier_drivers": ["Relay.sys", "AVSHS.SYS"]}
    profile = WindowsProfile.model_validate({"name": "lab", **more})
    settings = content(made(agent, profile), "kshs/settings.cmd").decode()
    assert 'set "KSHS_VERIFIER_DRIVERS=avshs.sys ksclient.sys relay.sys"\r\n' in settings
    assert (
        made(agent, profile).digest != made(agent, profile.model_copy(update={"verifier_drivers": ()})).digest
    )


@pytest.mark.parametrize(
    "name", ["", "relay", "relay.exe", "a b.sys", 'x"&.sys', "..\\x.sys", "x" * 60 + ".sys"]
)
def test_a_name_that_verifier_would_not_take_is_no_setting(name: str) -> None:
    with pytest.raises(ValidationError, match="verifier_drivers"):
        WindowsProfile.model_validate({"name": "lab", "verifier_drivers": [name]})


def test_the_page_file_holds_a_dump_of_all_memory(agent: Path) -> None:
    profile = BUILTIN["win11"].model_copy(update={"memory_mib": 8192})
    assert 'set "KSHS_PAGEFILE_MIB=8449"' in content(made(agent, profile), "kshs/settings.cmd").decode()


def test_order_of_the_steps_that_need_one() -> None:
    steps = payload.steps(BUILTIN["win11"])
    assert steps.index("sshkeys") < steps.index("openssh"), "sshd would make keys of its own"
    assert steps.index("testsigning") < steps.index("--") < steps.index("checked") < steps.index("settle")
    assert steps[-2:] == ("--", "finish")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("OpenSSH.exe", b"MZ"),
        ("OpenSSH.msi", b"PK\x03\x04"),
        ("OpenSSH.zip", b""),
        ("OpenSSH.cab", b"<html>"),
    ],
)
def test_other_files_are_no_openssh_package(agent: Path, tmp_path: Path, name: str, data: bytes) -> None:
    package = tmp_path / name
    package.write_bytes(data)
    with pytest.raises(VmError, match=r"no OpenSSH package.*--openssh"):
        made(agent, openssh=package)


@pytest.mark.parametrize("suffix", ["msi", "zip", "cab", "ZIP"])
def test_packages_get_the_name_that_the_guest_looks_for(agent: Path, tmp_path: Path, suffix: str) -> None:
    head = {"msi": MSI, "zip": b"PK\x03\x04", "cab": b"MSCF"}[suffix.lower()]
    package = tmp_path / f"Any-name.{suffix}"
    package.write_bytes(head)
    assert f"kshs/openssh/OpenSSH.{suffix.lower()}" in made(agent, openssh=package).files


def test_missing_files_are_named(agent: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(VmError, match=r"absent.*agent"):
        made(absent)
    with pytest.raises(VmError, match=r"absent.*OpenSSH"):
        made(agent, openssh=absent)
    with pytest.raises(VmError, match=r"absent.*certificate"):
        made(agent, certificates=[absent])
    with pytest.raises(VmError, match=r"absent.*no folder"):
        made(agent, drivers=absent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VmError, match="no drivers"):
        made(agent, drivers=tmp_path / "empty")
    with pytest.raises(VmError, match=r"absent.*'extra'"):
        made(agent, BUILTIN["win11"].model_copy(update={"files": {"extra": absent}}))


def test_drivers_and_extra_files(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "drivers" / "amd64").mkdir(parents=True)
    (tmp_path / "drivers" / "amd64" / "viostor.inf").write_bytes(b"[Version]")
    profile = BUILTIN["win11"].model_copy(update={"files": {"tool.exe": agent}})
    files = made(agent, profile, drivers=tmp_path / "drivers").files
    assert "drivers/amd64/viostor.inf" in files
    assert files["kshs/files/tool.exe"] == agent
