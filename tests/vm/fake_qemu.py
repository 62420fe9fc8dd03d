#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What of a replaying QEMU its callers see: a monitor, a count of instructions, consoles, an end.

Beside the log (rrfile) lies ``fake.json``: `steps`, the counts that are told one after another; `consoles`,
what each file of a -chardev gets; `exit`, with which it ends behind the last step, None: it stands still.
"""

import json
import re
import socket
import sys
import time
from pathlib import Path

if "--version" in sys.argv:
    print(f"QEMU emulator version {Path(sys.argv[0] + '.version').read_text()}")
    sys.exit()

words = " ".join(sys.argv[1:])
log = Path(re.search(r"rrfile=([^, ]+)", words)[1])
plan = json.loads((log.parent / "fake.json").read_text())
files = [Path(path) for path in re.findall(r"-chardev file,id=\w+,path=(\S+)", words)]
for path in files:
    path.write_bytes(bytes.fromhex(plan["consoles"].get(path.name, "")))
if plan.get("refuses"):
    print(plan["refuses"], file=sys.stderr)
    sys.exit(1)

place = re.search(r"-qmp unix:([^, ]+)", words)[1]
server = socket.socket(socket.AF_UNIX)
server.bind(place)
server.listen()
connection, _ = server.accept()
stream = connection.makefile("rwb", buffering=0)


def say(message):
    stream.write(json.dumps(message).encode() + b"\n")


def requests():
    """One after another; nothing but the end of its JSON ends a command."""
    text = ""
    while data := connection.recv(65536):
        text += data.decode()
        while text := text.lstrip():
            try:
                request, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            yield request


say({"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}})
steps = list(plan["steps"])
for request in requests():
    name, arguments = request["execute"], request.get("arguments") or {}
    answer = {}
    if name == "query-replay":
        last = len(steps) == 1
        answer = {"mode": "play", "icount": steps[0] if last else steps.pop(0)}
    elif name == "query-status":
        answer = {"status": "running", "running": True}
    elif name == "human-monitor-command":
        answer = plan.get("human", {}).get(arguments["command-line"].split()[0], "")
    say({"return": answer} | {key: request[key] for key in ("id",) if key in request})
    if name == "quit":
        sys.exit(0)
    if name == "query-replay" and last and plan["exit"] is not None:
        time.sleep(0.01)
        print(plan.get("last", ""), file=sys.stderr)
        sys.exit(plan["exit"])
