#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# First program of the installed system: mounts it, puts this double's own scripts in, hands over.
. /double/common.sh
ANSWER_FILE=
# A lease has no CDs; Linux has found those that there are by the time the modules are in.
sleep 0.5
mount_cds 5
tries=0
while ! root=$(findfs LABEL=root 2>/dev/null) && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
mount -t ext4 -o rw,noatime "$root" /root || stuck "INACCESSIBLE_BOOT_DEVICE"
! faulty reboot-loop || reboot -f
mkdir -p /root/usr/lib/kshs-double
cp -r /double/. /root/usr/lib/kshs-double/
cp /double/inittab /root/etc/inittab
# Once named, a fault stays: also the finished guest, which has no CD any more, has it.
[ ! -d $MEDIUM/double ] || echo "$FAULT" >/root/usr/lib/kshs-double/fault
if [ -n "$ANSWER_FILE" ]; then
    awk -f /double/answer.awk "$ANSWER_FILE" >/root/usr/lib/kshs-double/answer
fi
mkdir -p /root$MEDIUM /root$PROVISIONING
for place in $MEDIUM $PROVISIONING; do
    [ ! -d $place ] || mount -o move $place /root$place 2>/dev/null
done
mount -o move /dev /root/dev
mount -o move /sys /root/sys
mount -o move /proc /root/proc
exec switch_root /root /sbin/init
