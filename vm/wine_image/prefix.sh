#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the Wine prefix natively in the image's tree ($1).  Runs in namespaces of its own, which take
# every Wine process with them when they end.
set -eu
root=$1
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# The host's kernel may lay a heap over the address that Wine needs for NT's shared user data (docs/guests.md).
steady="setarch $(uname -m) --addr-no-randomize"
$steady true 2>/dev/null || steady=
exec $steady chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    WINEPREFIX=/root/.wine WINEARCH=win64 WINEDEBUG=-all \
    WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe=' /bin/sh -eu -c '
        /usr/lib/wine/wine64 wineboot --init
        /usr/lib/wine/wineserver64 -w
        /usr/lib/wine/wine64 cmd /c ver
        /usr/lib/wine/wineserver64 -k -w || true
        mkdir -p /root/.wine/drive_c/kshs
    '
