# SPDX-License-Identifier: Apache-2.0
"""Whether drivers can be built here: one is, instead of looking whether the tools are installed."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from drivers import signing, toolchain
from drivers.errors import BuildError, ToolMissing
from drivers.toolchain import Options

_SOURCE = """\
#include <ntddk.h>
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    (void)path;
    __try {
        ProbeForRead(driver, 1, 1);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}
"""
_RESOURCE = """\
#include <winver.h>
VS_VERSION_INFO VERSIONINFO
FILEVERSION 1,0,0,0
BEGIN
END
"""
_PACKAGES = "clang lld llvm mingw-w64-x86-64-dev osslsigncode"


@dataclass(frozen=True)
class Check:
    """One prerequisite, as `vm.doctor.Check`; ``fix`` is a command."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def checks() -> list[Check]:
    """Of building and signing; it takes a second, and nothing raises."""
    try:
        return [Check("driver build", True, trial())]
    except BuildError as error:
        package = error.package if isinstance(error, ToolMissing) else _PACKAGES
        sudo = "" if os.getuid() == 0 else "sudo "
        return [Check("driver build", False, str(error), f"{sudo}apt-get install -y {package}")]


def trial() -> str:
    """Compiles, links and signs a driver with a resource; answers what was done, for people.

    Raises:
        BuildError: a tool is missing or refuses.
    """
    tools = toolchain.find(platformdirs.user_cache_path("kshs") / "drivers" / "toolchain.json")
    with tempfile.TemporaryDirectory(prefix="kshs-try-") as name:
        work = Path(name)
        (work / "try.c").write_text(_SOURCE, encoding="utf-8")
        (work / "try.rc").write_text(_RESOURCE, encoding="utf-8")
        options = Options(kernel=True)
        tools.compile(work, "try.c", "try.o", options)
        tools.resource(work, "try.rc", "try.res", options)
        tools.link_driver("try.sys", ["try.o", "try.res"], ["-lntoskrnl"], work)
        signing.sign(work / "try.sys", work / "signed.sys", signing.identity(), "kshs trial")
        size = (work / "signed.sys").stat().st_size
    return f"a driver of {size} bytes was compiled with {tools.clang}, linked and signed"
