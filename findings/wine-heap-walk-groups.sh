#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# HeapWalk of Wine 10.0 (Debian 13, seen with 10.0~repack-6) tells of 1,000 blocks of 40 bytes that a program has just
# allocated as of 49, each of 1.5 KB and busy; when all are freed, 32 stay. Wine keeps small blocks in groups of 31 once
# there are more than a few of their size, and a walk shows the group. HeapWalk is there to enumerate the blocks of a heap
# (Windows documentation, heapapi.h), and the heap of Wine 8 (Debian 12) shows each.
#
# So whoever looks for leaks by counting blocks misses one of hundreds of small blocks, and sees a leak of 1.5 KB where
# one small block was taken. What follows for us: drivers/ksclient/heap.c counts the blocks of a group, and proves by 64
# small blocks of its own that it does before its count is believed.
#
# Wants root, for mounts of its own and a changed root.
set -eu
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
cd "$folder"

mmdebstrap --quiet --variant=apt --include=wine,wine64,gcc-mingw-w64-x86-64-win32 trixie root http://deb.debian.org/debian
cat >root/root/walk.c <<'C'
#include <stdio.h>
#include <windows.h>

#define BLOCKS 1000
#define BYTES 40

static unsigned busy(HANDLE heap)
{
    PROCESS_HEAP_ENTRY entry = { 0 };
    unsigned count = 0;

    while (HeapWalk(heap, &entry))
        count += (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) != 0;
    return count;
}

int main(void)
{
    static void *blocks[BLOCKS];
    HANDLE heap = HeapCreate(0, 0, 0);
    unsigned before = busy(heap), with, i;

    for (i = 0; i < BLOCKS; i++)
        blocks[i] = HeapAlloc(heap, 0, BYTES);
    with = busy(heap);
    for (i = 0; i < BLOCKS; i++)
        HeapFree(heap, 0, blocks[i]);
    printf("%u blocks allocated, and the walk shows this many more: %u; when they are freed: %u\n", BLOCKS, with - before,
           busy(heap) - before);
    printf("a block is shown for each: %s\n", with - before >= BLOCKS ? "yes" : "no");
    return 0;
}
C
unshare --mount sh -c '
    mount -t proc proc root/proc && mount --rbind /dev root/dev
    exec chroot root env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml=" sh -ec "
        wine --version
        cd /root
        x86_64-w64-mingw32-gcc -O1 -Wall -Werror walk.c -o walk.exe
        wine walk.exe
        wineserver -k"' | tr -d '\r' | tee said
grep -qx 'a block is shown for each: no' said
