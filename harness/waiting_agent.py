# SPDX-License-Identifier: Apache-2.0
"""An agent that waits in the template, so that a fork attaches within milliseconds.

On the Wine family a process takes a second to start under emulation, and SSH channels do not
survive the fork.  So the agent is started once, inside the template, with two FIFOs for its
streams, and a fork attaches to them with a small shell command.  The order of things matters:

- A FIFO opened for reading alone waits for a writer, and reads end-of-file when the last writer
  goes.  So a *holder* process keeps both FIFOs open in both directions until someone attaches.
- The agent's HELLO lies in the output FIFO, which keeps it until it is read.
- Attaching opens both ends first, ends the holder then, and gives its own ends to two `cat`s: so
  closing the channel is end-of-file for the agent, and the agent's death ends the channel.
- The output's `cat` has the lowest priority.  The agent writes after each step, so that its FIFO says
  how far it came even if it dies; but passing each of these writes on at once costs, under emulation,
  as much as a step.  So while steps keep the guest's one processor busy, `cat` waits its turn and takes
  many records at once; when the agent waits for the host, it is the only one to run and runs at once.
"""

from __future__ import annotations

import shlex

#: Where FIFOs, the agent's stderr and its exit code live in the guest.
DIRECTORY = "/run/kshs"


def start_script(agent: str, hold: str | None = None, directory: str = DIRECTORY) -> str:
    """POSIX sh that starts the waiting agent and returns at once.

    Args:
        agent: the command line that runs ``kshsctl serve``.
        hold: a command line that is kept running beside it, with a stdin that never ends.
        directory: for its files; emptied.
    """
    d = shlex.quote(directory)
    lines = [
        "set -e",
        f"rm -rf {d}; mkdir -p -m 700 {d}; cd {d}",
        "mkfifo in out idle",
        # Every background process gets streams of its own: what keeps the SSH command's streams
        # open keeps the SSH command running.
        "setsid sleep 2147483647 0<>in 1<>out 2>/dev/null & echo $! >holder",
        f"setsid sh -c {shlex.quote(f'{agent} <in >out 2>err; echo $? >exit.new; mv exit.new exit')}"
        " </dev/null >/dev/null 2>&1 & echo $! >agent",
    ]
    if hold is not None:
        lines.append(f"setsid sh -c {shlex.quote(f'exec {hold}')} 0<>idle >hold.out 2>&1 & echo $! >hold")
    return "\n".join(lines)


def ready_script(directory: str = DIRECTORY, seconds: int = 60) -> str:
    """POSIX sh that waits until the agent has said HELLO; exit code 1 and its stderr if it does not.

    The HELLO is taken out of the FIFO and kept in a file, which `attach_script` gives first: so
    what is known to be ready is the agent itself, and no fork has to ask again.
    """
    d = shlex.quote(directory)
    return "\n".join(
        [
            f"cd {d} || exit 1",
            "dd if=out of=hello bs=65536 count=1 2>/dev/null & reader=$!",
            "n=0",
            f"while [ ! -s hello ] && [ ! -s exit ] && [ $n -lt {seconds * 10} ]; do",
            "  sleep 0.1; n=$((n+1))",
            "done",
            "if [ -s hello ]; then wait $reader; exit 0; fi",
            "kill $reader",
            f"[ -s exit ] || echo 'the waiting agent said nothing in {seconds} s' >&2",
            "tail -c 4096 err >&2",
            "exit 1",
        ]
    )


def attach_script(directory: str = DIRECTORY) -> str:
    """POSIX sh whose stdin and stdout are the waiting agent's, until one side ends.

    Its exit code is the agent's (255 if that is not known within 2 s) and its stderr the last
    4 KiB of the agent's.  A second attach fails with 254: the agent is given away once.
    """
    d = shlex.quote(directory)
    return "\n".join(
        [
            f"cd {d} 2>/dev/null && mv holder attached 2>/dev/null || {{",
            "  echo 'no agent is waiting here' >&2; exit 254",
            "}",
            # Both opens return at once, because the holder has the other ends.
            "exec 3>in 4<out 5<&0",
            # Each process that is started here costs every lease some milliseconds under emulation.
            'read -r holder <attached; kill "$holder"',
            "cat <&5 >&3 4<&- 5<&- 2>/dev/null & writer=$!",
            # Only the writer may keep the agent's stdin open, or the agent never sees its end.
            "exec 3>&- 5<&- </dev/null",
            "[ -s hello ] || : >hello",
            "nice -n 19 cat hello - <&4",
            'kill "$writer" 2>/dev/null',
            "n=0",
            "while [ ! -s exit ] && [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done",
            "tail -c 4096 err >&2",
            'code=$(cat exit 2>/dev/null); exit "${code:-255}"',
        ]
    )
