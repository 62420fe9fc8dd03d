# SPDX-License-Identifier: Apache-2.0
"""Opens capsules one after another as a user would, within a bound of memory, and says what came of each.

Arguments: a folder with capsules, a folder to import into, MiB of address space beyond what is there already.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import struct
import sys
import traceback
from pathlib import Path

from harness import cli
from harness.capsule import recording
from harness.commands.recording_inputs import opened
from harness.commands.replay_inputs import Asked, Unpacked
from harness.errors import UsageError
from vm.recorder import STATE_DISK

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Events of sys.audit that change the file system, and which of their arguments are paths.
CHANGES = {"os.mkdir": 1, "os.rename": 2, "os.symlink": 2, "os.link": 2, "os.chmod": 1, "os.truncate": 1}


class Watch:
    """Notes what is written outside of the places where something may be written."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.outside: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.allowed:
            return
        paths: tuple[object, ...] = ()
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            paths = arguments[:1]
        elif event in CHANGES:
            paths = arguments[: CHANGES[event]]
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                full = os.path.realpath(os.fsdecode(path))
                if not f"{full}/".startswith(self.allowed) and full != os.devnull:
                    self.outside.append(f"{event}: {full}")


def said(*words: str) -> dict[str, object]:
    """A command as it is typed: its exit code, and what it wrote to stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(list(words))
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
    text = err.getvalue()
    return {
        "code": code,
        "lines": text.count("\n"),
        "err": text[:300],
        "controls": bool(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)),
    }


def played(path: Path) -> str:
    """What `kshs repro` does with it before it needs a guest."""
    try:
        with Unpacked(Asked(path)) as found:
            return f"opened {found.scenario.id[:40]} for {found.choice.name}"
    except UsageError as error:
        return f"refused: {str(error)[:200]}"
    except Exception:
        return traceback.format_exc()[-1500:]


def replayed(path: Path) -> str:
    """What `kshs replay` does with it before it needs QEMU, for a user who trusts anybody."""
    try:
        with opened(path, [], trust=True) as folder:
            return f"opened {recording.load(folder).scenario[:40]} upon {below(folder / STATE_DISK)}"
    except UsageError as error:
        return f"refused: {str(error)[:200]}"
    except Exception:
        return traceback.format_exc()[-1500:]


def below(disk: Path) -> str:
    """The name of the file below a qcow2 disk: its place and length are said by bytes 8 to 19."""
    head = disk.read_bytes()[:65536]
    place, size = struct.unpack_from(">QI", head, 8)
    return os.fsdecode(head[place : place + size])


def status(field: str) -> int:
    """KiB of this process.  The peak of getrusage(2) may be that of the process which started it."""
    return int(re.findall(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def main() -> None:
    """Answers a line of JSON for each, and one with the peak of memory in KiB at the end."""
    folder, target, mib = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    used = status("VmSize") << 10
    resource.setrlimit(resource.RLIMIT_AS, (used + (mib << 20),) * 2)
    watch = Watch()
    for path in sorted(folder.glob("*.capsule")):
        out = target / path.stem
        watch.allowed = (f"{out}/", f"{os.environ['TMPDIR']}/")
        answer = {
            "name": path.name,
            "show": said("capsule", "show", str(path)),
            "import": said("capsule", "import", str(path), "--out", str(out)),
            "played": played(path),
            "replayed": replayed(path),
            "outside": watch.outside,
            "peak": status("VmHWM") >> 10,
        }
        watch.allowed, watch.outside = (), []
        print(json.dumps(answer), flush=True)
    print(json.dumps({"peak": status("VmHWM")}), flush=True)


if __name__ == "__main__":
    main()
