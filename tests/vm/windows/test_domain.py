# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from vm.errors import VmError
from vm.windows import domain
from vm.windows.profile import BUILTIN, Firmware, WindowsProfile

FIRMWARE = domain.FirmwarePair(
    Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
)


def _placement(tmp_path: Path, cds: int = 2) -> domain.Placement:
    return domain.Placement(
        "kshs-win",
        tmp_path / "disk.qcow2",
        tmp_path,
        22022,
        [tmp_path / f"{number}.iso" for number in range(cds)],
    )


def _build(tmp_path: Path, profile: WindowsProfile, accelerator: str) -> str:
    kind = "kvm" if accelerator == "kvm" else "tcg"
    return domain.build(profile, _placement(tmp_path), accelerator=kind, firmware=FIRMWARE)


MATRIX = list(itertools.product(BUILTIN, Firmware, (True, False), ("kvm", "tcg"), ("sata", "virtio")))


@pytest.mark.parametrize("combination", MATRIX, ids=lambda c: "-".join(map(str, c)))
def test_libvirt_schema_accepts_every_variant(
    tmp_path: Path, combination: tuple[str, Firmware, bool, str, str]
) -> None:
    name, firmware, tpm, accelerator, bus = combination
    profile = BUILTIN[name].model_copy(update={"firmware": firmware, "tpm": tpm, "disk_bus": bus})
    target = tmp_path / "domain.xml"
    target.write_text(_build(tmp_path, profile, accelerator))
    done = subprocess.run(["virt-xml-validate", str(target), "domain"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_enlightenments_belong_to_kvm_alone(tmp_path: Path) -> None:
    tcg = etree.fromstring(_build(tmp_path, BUILTIN["win11"], "tcg"))
    kvm = etree.fromstring(_build(tmp_path, BUILTIN["win11"], "kvm"))
    assert tcg.find("features/hyperv") is None
    assert tcg.find("features/tcg/tb-cache").get("unit") == "MiB"
    assert kvm.find("features/tcg") is None
    assert tcg.find("devices/panic").get("model") == "isa"
    assert kvm.find("features/hyperv") is not None
    assert kvm.find("devices/panic").get("model") == "hyperv"


def test_secure_boot_is_never_on_because_test_signed_drivers_would_not_load(tmp_path: Path) -> None:
    root = etree.fromstring(_build(tmp_path, BUILTIN["win11"], "tcg"))
    assert root.find("os/loader").get("secure") == "no"


def test_network_is_restricted_and_on_loopback(tmp_path: Path) -> None:
    arguments = etree.fromstring(_build(tmp_path, BUILTIN["win11"], "tcg")).xpath(
        "//qemu:arg/@value", namespaces={"qemu": domain.QEMU_NAMESPACE}
    )
    assert "user,id=kshsnet,restrict=on,hostfwd=tcp:127.0.0.1:22022-:22" in arguments


def test_paths_with_commas_reach_qemu_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    placement = domain.Placement("n", folder / "d", folder, 1, [])
    assert f"path={tmp_path}/a,,b/debugcon.log" in domain.build(
        BUILTIN["server2022"], placement, accelerator="tcg", firmware=FIRMWARE
    )


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VmError, match="OVMF"):
        domain.build(BUILTIN["win11"], _placement(tmp_path), accelerator="tcg")
    with pytest.raises(VmError, match="at most 5 CDs"):
        domain.build(BUILTIN["win11"], _placement(tmp_path, 6), accelerator="tcg", firmware=FIRMWARE)
    with pytest.raises(VmError, match="apt-get install ovmf"):
        domain.firmware_pair(tmp_path)


def test_the_tpm_is_the_one_beside_the_sockets(tmp_path: Path) -> None:
    placement = replace(_placement(tmp_path), sockets=tmp_path / "s")
    profile = BUILTIN["win11"].model_copy(update={"tpm": True})
    root = etree.fromstring(domain.build(profile, placement, accelerator="kvm", firmware=FIRMWARE))
    backend = root.find("devices/tpm[@model='tpm-crb']/backend")
    assert backend.get("type") == "external", "libvirt would keep the state in a place of its own"
    assert backend.find("source").get("path") == str(tmp_path / "s" / "tpm.sock")
    assert etree.fromstring(_build(tmp_path, BUILTIN["win11"], "kvm")).find("devices/tpm") is None
