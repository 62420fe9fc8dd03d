# SPDX-License-Identifier: Apache-2.0
"""What stands for Python: hands all that it was started with to the server, and ends as its fork does."""

import array
import json
import os
import signal
import socket
import sys

ADDRESS = None

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.connect(ADDRESS)
    told = json.dumps(
        {
            "argv": sys.argv[1:],
            "cwd": os.getcwd(),  # noqa: PTH109 - pathlib takes as long to import as all of this
            "env": dict(os.environ),
        }
    ).encode()
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
    connection.sendmsg([len(told).to_bytes(4, "little")], [rights])
    connection.sendall(told)
    # Streams are the fork's alone from here on: its end is their end.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    status = connection.recv(4)
code = int.from_bytes(status, "little", signed=True) if len(status) == 4 else -signal.SIGKILL
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
os._exit(code)
