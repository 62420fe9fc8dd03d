# SPDX-License-Identifier: Apache-2.0
"""An agent that waits in the template, so that a fork attaches without starting a process.

On the Wine family a process takes a second to start under emulation, and even a small command of the
guest's shell a tenth of one; SSH channels do not survive the fork.  So the agent is started once, inside
the template, with FIFOs for its streams, and a *relay* beside it that waits at a TCP port of the guest's
loopback: a fork attaches by an SSH channel that is forwarded to that port (direct-tcpip, RFC 4254, 7.2).
The order of things matters:

- A FIFO opened for reading alone waits for a writer, and reads end-of-file when the last writer
  goes.  So a *holder* process keeps both FIFOs open in both directions until the relay has them.
- The agent's HELLO is taken out of its FIFO and kept, and the relay gives it first: so what is known to be
  ready is the agent itself, and no fork has to ask again.
- The relay is no process of its own once it is connected: two `cat` stand between the connection and the
  FIFOs, one each way, for each process more that a frame goes through costs a switch under emulation.
- The connection sends at once what it is given (TCP_NODELAY).  A small write behind another one would
  wait until that was acknowledged, and the SSH server, which has nothing to send back, is given 40 ms for
  that: every scenario cost as much (docs/performance.md).
- The relay's first line of input is the time, in seconds since 1970: a fork's clock stands where the
  template's stood, and a command of its own for it would cost a tenth of the lease.  Where the clock cannot
  be set, the agent's input ends and the reason stands in its stderr.
- Closing the channel is end-of-file for the agent, and the agent's death ends the channel.  The relay serves
  one connection: the agent is given away once.
- The output's `cat` has the lowest priority.  The agent writes after each step, so that its FIFO says
  how far it came even if it dies; but passing each of these writes on at once costs, under emulation,
  as much as a step.  So while steps keep the guest's one processor busy, `cat` waits its turn and takes
  many records at once; when the agent waits for the host, it is the only one to run and runs at once.
"""

from __future__ import annotations

import shlex

#: Where FIFOs, the agent's stderr and its exit code live in the guest.
DIRECTORY = "/run/kshs"
#: Of the guest's loopback, where the relay waits.
PORT = 4050
#: Sets the guest's clock to the seconds in `$now`.
SET_CLOCK = 'date -u -s "@$now" >/dev/null'


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
        f"setsid sh -c {shlex.quote(f'{agent} <in >out 2>>err; echo $? >exit.new; mv exit.new exit')}"
        " </dev/null >/dev/null 2>&1 & echo $! >agent",
    ]
    if hold is not None:
        lines.append(f"setsid sh -c {shlex.quote(f'exec {hold}')} 0<>idle >hold.out 2>&1 & echo $! >hold")
    return "\n".join(lines)


def ready_script(
    directory: str = DIRECTORY, seconds: int = 60, *, port: int = PORT, set_clock: str = SET_CLOCK
) -> str:
    """POSIX sh that waits until the agent has said HELLO, and starts the relay.

    It ends with 0 when a connection to ``port`` would be taken; with 1, and the reason on stderr, where
    the agent or the relay does not get so far.
    """
    d = shlex.quote(directory)
    listening = f"grep -qi ':{port:04X} 00000000:0000 0A ' /proc/net/tcp"
    return "\n".join(
        [
            f"cd {d} || exit 1",
            "dd if=out of=hello bs=65536 count=1 2>/dev/null & reader=$!",
            "n=0",
            f"while [ ! -s hello ] && [ ! -s exit ] && [ $n -lt {seconds * 10} ]; do",
            "  sleep 0.1; n=$((n+1))",
            "done",
            "if [ ! -s hello ]; then",
            "  kill $reader",
            f"  [ -s exit ] || echo 'the waiting agent said nothing in {seconds} s' >&2",
            "  tail -c 4096 err >&2",
            "  exit 1",
            "fi",
            "wait $reader",
            f"printf '%s\\n' {shlex.quote(_attach(set_clock))} >attach; chmod 700 attach",
            f"setsid sh -c {shlex.quote(_relay(port))} </dev/null >/dev/null 2>relay.err &",
            "echo $! >relay",
            "n=0",
            f"until {listening}; do",
            f"  if [ $n -ge {seconds * 10} ] || ! kill -0 $(cat relay) 2>/dev/null; then",
            "    echo 'the relay does not listen' >&2; cat relay.err >&2",
            "    exit 1",
            "  fi",
            "  sleep 0.1; n=$((n+1))",
            "done",
            # The relay has both FIFOs open by now: it opens them before it listens.
            'read -r holder <holder; kill "$holder"',
        ]
    )


def copying_script(device: str, directory: str = DIRECTORY) -> str:
    """POSIX sh after which the waiting agent's frames go to a serial port of the guest, too.

    To be run before anybody attaches.  The port gets every byte as it is, and nothing else.
    """
    d, attach = shlex.quote(directory), "attach"
    with_copy = f"s|cat <&4|tee {device} <\\&4|"
    return "\n".join(
        [
            f"stty raw -echo -F {shlex.quote(device)} && cd {d}",
            f"sed -i {shlex.quote(with_copy)} {attach} && grep -q 'tee {device} <&4' {attach}",
        ]
    )


def _relay(port: int) -> str:
    """POSIX sh; each FIFO has exactly one process at this end, or nobody would see the other's end."""
    # Listening means that both FIFOs are open.  Who connects is served by the script, in socat's place.
    listen = f"TCP4-LISTEN:{port},bind=127.0.0.1,nodelay"
    return f"exec 3>in 4<out; exec socat {listen} EXEC:./attach,nofork"


def _attach(set_clock: str) -> str:
    """POSIX sh that has the connection as input and output, and leaves one process each way."""
    return "\n".join(
        [
            "#!/bin/sh",
            "cat hello",
            # With the agent's end the connection ends, whatever still comes the other way.
            '{ nice -n 19 cat <&4; kill "$$"; } 3>&- &',
            "exec 4<&-",
            # Through nice, so that it is not the shell's own cat: busybox's has the kernel move the bytes
            # (sendfile), and from a socket to a FIFO these stay on the way until more of them come.
            f"read -r now && {set_clock} 2>>err && exec nice -n 0 cat >&3 3>&-",
        ]
    )


def last_words_script(directory: str = DIRECTORY) -> str:
    """POSIX sh that tells how the agent ended: its exit code, a line end, the last 4 KiB of its stderr.

    The exit code is empty where there is none within 2 s, as for an agent that was killed or still runs.
    """
    d = shlex.quote(directory)
    return "\n".join(
        [
            f"cd {d} || exit 1",
            "n=0",
            "while [ ! -s exit ] && [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done",
            "if [ -s exit ]; then cat exit; else echo; fi",
            "tail -c 4096 err",
        ]
    )
