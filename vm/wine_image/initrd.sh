#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# First program of the guest: loads the listed modules, mounts the disk, hands over.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
while read -r module; do
    $b insmod "/modules/$module" || echo "kshs: module $module was refused"
done </modules/order
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 500 ]; do
    $b usleep 10000
    tries=$((tries + 1))
done
if ! $b mount -t ext4 -o rw,noatime /dev/vda /root; then
    echo "kshs: the disk cannot be mounted"
    $b poweroff -f
fi
$b mount --move /dev /root/dev
$b mount --move /proc /root/proc
exec $b switch_root /root /sbin/init
