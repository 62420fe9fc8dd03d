#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# First program of the setup double, from the medium and from the installed disk: loads the modules, then
# runs what the boot loader names on the kernel's command line (double=setup or double=installed).
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/tty0 >/dev/tty0 2>&1
while read -r module; do
    insmod "/modules/$module" || echo "module $module was refused"
done </modules/order
role=$(sed -n 's/.*double=\([a-z]*\).*/\1/p' /proc/cmdline)
exec /bin/sh "/double/$role.sh"
