#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# QEMU 10.0 (Debian 13, seen with 1:10.0.13+ds-0+deb13u1) loads TCG plugins that claim version 2 of the plugin interface,
# for it says that this is its least version. But what version 2 calls qemu_plugin_insn_data() is not there any more:
# since version 3 the function has two more parameters and gives the number of bytes that it has copied, not a pointer to
# them. One would guess that a version below the change is refused. (Debian 12's QEMU 7.2 has versions 0 to 1.)
#
# The plugin below claims version 2 and calls the function as version 3 has it, which is harmless: it is given a size.
# What follows for us: vm/plugin/build.py tries a plugin with a guest before it is used.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mmdebstrap --quiet --variant=extract --include=qemu-system-x86,seabios trixie root http://deb.debian.org/debian
qemu() {
    root/usr/lib64/ld-linux-x86-64.so.2 --library-path root/usr/lib/x86_64-linux-gnu root/usr/bin/qemu-system-x86_64 \
        -L root/usr/share/qemu -L root/usr/share/seabios "$@"
}
qemu --version | head -n 1

cat >plugin.c <<'C'
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define SEEN __attribute__((visibility("default")))
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *into, size_t length);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
SEEN int qemu_plugin_version = 2;
static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, 0);
    unsigned char bytes[16];
    size_t copied = qemu_plugin_insn_data(insn, bytes, sizeof(bytes));

    (void)id;
    printf("claims version 2; a size, not a pointer: %s\n", copied == qemu_plugin_insn_size(insn) ? "yes" : "no");
    exit(0);
}
SEEN int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
C
clang -shared -fPIC -fvisibility=hidden plugin.c -o plugin.so
qemu -nodefaults -display none -accel tcg -machine pc -m 16 -plugin "file=$folder/plugin.so" | tee said
grep -qx "claims version 2; a size, not a pointer: yes" said
