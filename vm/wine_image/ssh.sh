#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The SSH server; its environment (-e) becomes that of every command.
export LANG=C.UTF-8 LC_ALL=C.UTF-8
export WINEPREFIX=/root/.wine WINEARCH=win64
export WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe='
# Only what a bugcheck says, into the log of the session.
export WINEDEBUG=-all,err+ntoskrnl
# Forwarding to the guest's own ports (no -j) is how a lease attaches to the agent that waits.
exec /usr/sbin/dropbear -F -E -e -m -s -k -W 1048576 -P /run/dropbear.pid -p 22 \
    -r /etc/dropbear/host_key
