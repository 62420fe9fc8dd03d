# SPDX-License-Identifier: Apache-2.0
"""What each step of provisioning does to the guest: registry, services, files, and exact command lines."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers.build
from tests.component.provision_guest import SECRETS, ProvisionGuest, provision_guest
from tests.component.standins import build as build_standin
from tests.component.wine import Completed
from vm.windows import payload
from vm.windows.payload import Payload
from vm.windows.profile import BUILTIN, Leg

pytestmark = pytest.mark.component

REBOOT = 3010
CONTROL = "HKLM\\SYSTEM\\CurrentControlSet\\Control"
POLICIES = "HKLM\\SOFTWARE\\Policies\\Microsoft"
WINLOGON = "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon"
SERVICE = "C:\\windows\\system32\\wuauserv.exe"  # any program that is a service


@pytest.fixture(scope="module")
def whole(build: drivers.build.Build) -> Payload:
    """The CD of a guest with every leg."""
    profile = BUILTIN["win11"].model_copy(update={"legs": frozenset(Leg), "memory_mib": 4096})
    return payload.build(
        profile,
        image_index=1,
        server=True,
        secrets=SECRETS,
        agent=build.agent,
        certificates=build.avshs.certificates,
        settle_seconds=(0, 5),
    )


@pytest.fixture(scope="module")
def _machine(
    build: drivers.build.Build, bare_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProvisionGuest]:
    standin = build_standin(tmp_path_factory.mktemp("standin"))
    with provision_guest(bare_template, build.agent, standin, tmp_path_factory.mktemp("cd")) as guest:
        yield guest


class Steps:
    """The whole CD in C:\\kshs, each step to be run by itself as provision.cmd runs it."""

    def __init__(self, machine: ProvisionGuest, whole: Payload) -> None:
        self.machine = machine
        self.standins = machine.standins
        machine.insert(whole.files)
        shutil.copytree(machine.cd / "kshs", machine.kshs, dirs_exist_ok=True)
        (machine.kshs / "state").mkdir()
        # The environment that provision.cmd makes, and the whole exit code, of which this host sees 8 bits.
        (machine.kshs / "one.cmd").write_bytes(
            b"@echo off\r\nsetlocal\r\n"
            b'set "KSHS=C:\\kshs"\r\nset "KSHSCTL=C:\\kshs\\kshsctl.exe"\r\nset "STATE=C:\\kshs\\state"\r\n'
            b"call C:\\kshs\\settings.cmd\r\n"
            b'cmd /d /c "C:\\kshs\\steps\\%1.cmd"\r\n'
            b">C:\\kshs\\code echo %errorlevel%\r\n"
        )

    def run(self, name: str) -> Completed:
        done = self.machine.cmd(f"C:\\kshs\\one.cmd {name}")
        code = int((self.machine.kshs / "code").read_text())
        return Completed(code, done.stdout, done.stderr)

    def calls(self, name: str | None = None) -> list[str]:
        return [str(call) for call in self.standins.calls(name)]

    def values(self, key: str, *names: str) -> list[str | None]:
        return [self.machine.value(key, name) for name in names]

    def service(self, name: str, program: str = SERVICE) -> None:
        done = self.machine.guest.run("sc", "create", name, "start=", "demand", "binPath=", program)
        assert done.exit_code == 0, done

    def no_service(self, name: str) -> None:
        for verb in ("stop", "delete"):
            self.machine.guest.run("sc", verb, name)

    def file(self, path: str) -> Path:
        """On this host."""
        return self.machine.guest.prefix / "drive_c" / path


@pytest.fixture
def steps(_machine: ProvisionGuest, whole: Payload) -> Steps:
    _machine.reset()
    return Steps(_machine, whole)


@pytest.fixture
def no_sshd(steps: Steps) -> Iterator[Steps]:
    """A system without OpenSSH."""
    steps.no_service("sshd")
    yield steps
    steps.no_service("sshd")
    shutil.rmtree(steps.file("Program Files/OpenSSH-unpacked"), ignore_errors=True)


# ---- files: agent, certificates, keys ------------------------------------------------


def test_agent_checks_what_arrived(steps: Steps) -> None:
    done = steps.run("agent")
    assert done.exit_code == 0, done
    assert '"checked":' in done.stdout
    (steps.machine.kshs / "settings.cmd").write_bytes(b"damaged")
    done = steps.run("agent")
    assert done.exit_code == 1
    assert "settings.cmd is damaged" in done.stderr


def test_certificates_are_installed(steps: Steps) -> None:
    done = steps.run("certificates")
    assert done.exit_code == 0, done
    assert done.stdout.count('"verb":"install-cert"') == 2
    assert done.stdout.count('"ok":true') == 2


def test_a_bad_certificate_stops(steps: Steps) -> None:
    (steps.machine.kshs / "certs" / "01-kshs-root.cer").write_bytes(b"no certificate")
    done = steps.run("certificates")
    assert done.exit_code == 1
    assert done.stdout.count('"verb":"install-cert"') == 1, "nothing after the first failure"


def test_no_certificates_are_fine(steps: Steps) -> None:
    shutil.rmtree(steps.machine.kshs / "certs")
    assert steps.run("certificates").exit_code == 0


def test_keys_are_placed_and_protected(steps: Steps) -> None:
    folder = steps.file("ProgramData/ssh")
    shutil.rmtree(folder, ignore_errors=True)
    done = steps.run("sshkeys")
    assert done.exit_code == 0, done
    assert (folder / "ssh_host_ed25519_key").read_bytes() == SECRETS.host_key
    assert (folder / "ssh_host_ed25519_key.pub").read_text().strip() == SECRETS.host_public_key
    assert (folder / "administrators_authorized_keys").read_text().strip() == SECRETS.authorized_key
    assert "PasswordAuthentication no" in (folder / "sshd_config").read_text()
    only_admins = '/inheritance:r /grant "*S-1-5-32-544:F" "*S-1-5-18:F"'
    assert steps.calls() == [
        'icacls "C:\\ProgramData\\ssh" /inheritance:r /grant "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F"'
        ' "*S-1-5-11:(OI)(CI)RX"',
        f'icacls "C:\\ProgramData\\ssh\\ssh_host_ed25519_key" {only_admins}',
        f'icacls "C:\\ProgramData\\ssh\\administrators_authorized_keys" {only_admins}',
    ]
    assert steps.run("sshkeys").exit_code == 0, "once more"


@pytest.mark.parametrize("file", ["ssh_host_ed25519_key", "administrators_authorized_keys"])
def test_keys_that_cannot_be_protected_stop(steps: Steps, file: str) -> None:
    steps.standins.answer("icacls", 5, f'"C:\\ProgramData\\ssh\\{file}"')
    assert steps.run("sshkeys").exit_code == 5


def test_a_missing_key_stops(steps: Steps) -> None:
    (steps.machine.kshs / "ssh" / "administrators_authorized_keys").unlink()
    assert steps.run("sshkeys").exit_code == 1


# ---- openssh ------------------------------------------------------------------------


def state(steps: Steps, service: str) -> str:
    return steps.machine.guest.run("sc", "query", service).stdout


def test_openssh_in_box_is_only_enabled(no_sshd: Steps) -> None:
    no_sshd.service("sshd")
    done = no_sshd.run("openssh")
    assert done.exit_code == 0, done
    assert "RUNNING" in state(no_sshd, "sshd")
    assert no_sshd.machine.value("HKLM\\SYSTEM\\CurrentControlSet\\Services\\sshd", "Start") == "0x2"
    assert no_sshd.calls() == []
    assert no_sshd.run("openssh").exit_code == 0, "once more"


def test_no_openssh_at_all_says_what_to_do(no_sshd: Steps) -> None:
    done = no_sshd.run("openssh")
    assert done.exit_code == 1060
    assert "--openssh FILE" in done.stdout


def package(steps: Steps, kind: str) -> None:
    (steps.machine.kshs / "openssh").mkdir(exist_ok=True)
    (steps.machine.kshs / "openssh" / f"OpenSSH.{kind}").write_bytes(b"package")


INSTALLERS = {
    "msi": 'msiexec /i "C:\\kshs\\openssh\\OpenSSH.msi" /qn /norestart'
    ' /l*v "C:\\kshs\\state\\openssh-msi.log" ADDLOCAL=Server',
    "cab": 'dism /online /quiet /norestart /add-package /packagepath:"C:\\kshs\\openssh\\OpenSSH.cab"',
}


@pytest.mark.parametrize("kind", sorted(INSTALLERS))
def test_openssh_packages_are_installed_quietly(no_sshd: Steps, kind: str) -> None:
    package(no_sshd, kind)
    done = no_sshd.run("openssh")
    assert no_sshd.calls() == [INSTALLERS[kind]]
    assert done.exit_code == 1060, "the stand-in made no service"
    assert "still no service" in done.stdout


def test_a_real_package_by_the_real_installer(no_sshd: Steps, tmp_path: Path) -> None:
    """Wine's own msiexec, and a package made here that looks like that of Win32-OpenSSH."""
    if shutil.which("wixl") is None:
        pytest.fail("wixl is not installed, this test makes a package with it: apt-get install wixl", False)
    shutil.copyfile(Path(__file__).with_name("openssh.wxs"), tmp_path / "openssh.wxs")
    shutil.copyfile(no_sshd.file("windows/system32/wuauserv.exe"), tmp_path / "sshd.exe")
    command = ["wixl", "-a", "x64", "-o", "OpenSSH.msi", "openssh.wxs"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    package(no_sshd, "msi")
    shutil.copyfile(tmp_path / "OpenSSH.msi", no_sshd.machine.kshs / "openssh" / "OpenSSH.msi")
    standin = no_sshd.standins.home / "bin" / "msiexec.exe"
    aside = standin.rename(standin.with_suffix(".aside"))
    try:
        done = no_sshd.run("openssh")
    finally:
        aside.rename(standin)
    assert done.exit_code == 0, done
    assert "RUNNING" in state(no_sshd, "sshd")
    installed = no_sshd.file("Program Files/OpenSSH")
    assert sorted(path.name for path in installed.iterdir()) == ["sshd.exe"], "the server alone"
    assert (no_sshd.machine.kshs / "state" / "openssh-msi.log").exists()


@pytest.mark.parametrize("kind", sorted(INSTALLERS))
def test_openssh_packages_that_want_a_reboot_get_it(no_sshd: Steps, kind: str) -> None:
    package(no_sshd, kind)
    no_sshd.standins.answer(INSTALLERS[kind].split()[0], 3010)
    assert no_sshd.run("openssh").exit_code == REBOOT


@pytest.mark.parametrize("kind", sorted(INSTALLERS))
def test_openssh_packages_that_fail_stop_with_their_code(no_sshd: Steps, kind: str) -> None:
    package(no_sshd, kind)
    no_sshd.standins.answer(INSTALLERS[kind].split()[0], 1603)
    assert no_sshd.run("openssh").exit_code == 1603


def test_openssh_from_a_zip(no_sshd: Steps) -> None:
    package(no_sshd, "zip")
    unpacked = no_sshd.file("Program Files/OpenSSH-unpacked/OpenSSH-Win64")
    unpacked.mkdir(parents=True)
    shutil.copyfile(no_sshd.file("windows/system32/wuauserv.exe"), unpacked / "sshd.exe")
    done = no_sshd.run("openssh")
    assert done.exit_code == 0, done
    assert no_sshd.calls() == [
        'tar -xf "C:\\kshs\\openssh\\OpenSSH.zip" -C "C:\\Program Files\\OpenSSH-unpacked"'
    ]
    path = no_sshd.machine.value("HKLM\\SYSTEM\\CurrentControlSet\\Services\\sshd", "ImagePath")
    assert path == '"C:\\Program Files\\OpenSSH-unpacked\\OpenSSH-Win64\\sshd.exe"'
    assert "RUNNING" in state(no_sshd, "sshd")


def test_a_zip_without_sshd_stops(no_sshd: Steps) -> None:
    package(no_sshd, "zip")
    done = no_sshd.run("openssh")
    assert done.exit_code == 2
    assert "no sshd.exe" in done.stdout
    no_sshd.standins.answer("tar", 1)
    assert no_sshd.run("openssh").exit_code == 1


def test_a_server_that_does_not_start_stops(no_sshd: Steps) -> None:
    no_sshd.service("sshd", "C:\\no such\\sshd.exe")
    done = no_sshd.run("openssh")
    assert done.exit_code == 1
    assert "sshd cannot be started" in done.stderr


# ---- settings ---------------------------------------------------------------------------


def test_firewall(steps: Steps) -> None:
    steps.standins.answer("netsh", 1, "advfirewall firewall delete")  # there is none the first time
    assert steps.run("firewall").exit_code == 0
    assert steps.calls("netsh")[-1] == (
        "netsh advfirewall firewall add rule name=kshs-ssh dir=in action=allow protocol=TCP localport=22"
        " profile=any"
    )
    steps.standins.answer("netsh", 7, "advfirewall firewall add")
    assert steps.run("firewall").exit_code == 7


def test_time(steps: Steps) -> None:
    assert steps.run("time").exit_code == 0
    assert steps.calls() == ["tzutil /s UTC"]
    assert steps.values(f"{CONTROL}\\TimeZoneInformation", "RealTimeIsUniversal") == ["0x1"]
    steps.standins.answer("tzutil", 1)
    assert steps.run("time").exit_code == 1


def test_power(steps: Steps) -> None:
    assert steps.run("power").exit_code == 0
    assert steps.calls() == [
        "powercfg /change monitor-timeout-ac 0",
        "powercfg /change standby-timeout-ac 0",
        "powercfg /change hibernate-timeout-ac 0",
        "powercfg /change disk-timeout-ac 0",
        "powercfg /hibernate off",
    ]
    assert steps.values(f"{CONTROL}\\Session Manager\\Power", "HiberbootEnabled") == ["0x0"]
    steps.standins.answer("powercfg", 1, "/change standby")
    assert steps.run("power").exit_code == 1
    assert steps.calls()[-1] == "powercfg /change standby-timeout-ac 0", "nothing after the first failure"


def test_crash(steps: Steps) -> None:
    assert steps.run("crash").exit_code == REBOOT
    names = (
        "CrashDumpEnabled",
        "AutoReboot",
        "NMICrashDump",
        "AlwaysKeepMemoryDump",
        "Overwrite",
        "LogEvent",
    )
    assert steps.values(f"{CONTROL}\\CrashControl", *names) == ["0x2", "0x0", "0x1", "0x1", "0x1", "0x1"]
    assert steps.values(f"{CONTROL}\\CrashControl", "DumpFile", "MinidumpDir") == [
        "%SystemRoot%\\MEMORY.DMP",
        "%SystemRoot%\\Minidump",
    ]
    memory = f"{CONTROL}\\Session Manager\\Memory Management"
    assert steps.values(memory, "PagingFiles") == ["C:\\pagefile.sys 4353 4353"]
    assert steps.calls() == [
        "bcdedit /set recoveryenabled no",
        "bcdedit /set bootstatuspolicy ignoreallfailures",
    ]
    steps.standins.answer("bcdedit", 1)
    assert steps.run("crash").exit_code == 1


def test_updates(steps: Steps) -> None:
    done = steps.run("updates")
    assert done.exit_code == 0, done
    update = f"{POLICIES}\\Windows\\WindowsUpdate"
    assert steps.values(f"{update}\\AU", "NoAutoUpdate") == ["0x1"]
    assert steps.values(update, "DoNotConnectToWindowsUpdateInternetLocations") == ["0x1"]
    start = steps.machine.value("HKLM\\SYSTEM\\CurrentControlSet\\Services\\wuauserv", "Start")
    assert start == "0x4", "the service is disabled"
    assert "STOPPED" in state(steps, "wuauserv")
    assert steps.run("updates").exit_code == 0, "once more"


def test_defender_on_a_client(steps: Steps) -> None:
    steps.machine.put_value(f"{CONTROL}\\ProductOptions", "ProductType", "REG_SZ", "WinNT")
    assert steps.run("defender").exit_code == 0
    defender = f"{POLICIES}\\Windows Defender"
    assert steps.values(defender, "DisableAntiSpyware") == ["0x1"]
    assert steps.values(f"{defender}\\Real-Time Protection", "DisableRealtimeMonitoring") == ["0x1"]
    assert steps.calls() == []


@pytest.mark.parametrize(("code", "told"), [(3010, 3010), (0, 0), (0x800F080C, 0), (87, 87)])
def test_defender_on_a_server(steps: Steps, code: int, told: int) -> None:
    steps.machine.put_value(f"{CONTROL}\\ProductOptions", "ProductType", "REG_SZ", "ServerNT")
    steps.standins.answer("dism", code)
    assert steps.run("defender").exit_code == told
    assert steps.calls() == ["dism /online /quiet /norestart /disable-feature /featurename:Windows-Defender"]


def test_test_signing(steps: Steps) -> None:
    assert steps.run("testsigning").exit_code == REBOOT
    assert steps.calls() == ["bcdedit /set testsigning on"]
    steps.standins.answer("bcdedit", 1, text="The value is protected by Secure Boot policy.\n")
    done = steps.run("testsigning")
    assert done.exit_code == 1
    assert "Secure Boot" in done.stdout


def test_hvci(steps: Steps) -> None:
    assert steps.run("hvci").exit_code == REBOOT
    guard = f"{CONTROL}\\DeviceGuard"
    assert steps.values(guard, "EnableVirtualizationBasedSecurity") == ["0x1"]
    assert steps.values(f"{guard}\\Scenarios\\HypervisorEnforcedCodeIntegrity", "Enabled") == ["0x1"]


# ---- verifier ----------------------------------------------------------------------------
