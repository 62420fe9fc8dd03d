#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# llvm-symbolizer 14.0.6 takes a PDB of another build, and an address outside of the image, and says nothing.
#
# An image names its PDB by file name, GUID and age.  llvm-symbolizer looks for the name alone: with the PDB of
# another build beside the image it answers with that build's function and line, exit code 0, nothing on stderr.
# For an address a page behind the end of the image it names a function all the same.  With the right PDB the
# function is `add`; with the other one it is whatever has its place there.
#
# The program is a few lines of C, built twice with clang 18 and lld as ziglang 0.13.0 ships them (the first build
# takes a minute); llvm-14 is Debian 12's, unpacked and not installed.
#
# Seen: 2026-11-30, Debian 12.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
export ZIG_GLOBAL_CACHE_DIR=$folder/zig
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install ziglang==0.13.0 pefile==2024.8.26 2>pip.log || { cat pip.log >&2; exit 2; }
apt-get download -qq llvm-14=1:14.0.6-12 libllvm14=1:14.0.6-12 2>apt.log || { cat apt.log >&2; exit 2; }
for package in *.deb; do dpkg-deb -x "$package" llvm; done
export LD_LIBRARY_PATH=$folder/llvm/usr/lib/x86_64-linux-gnu:$folder/llvm/usr/lib/llvm-14/lib
build() { # NAME FIRST SECOND: a program whose functions stand in this order
    mkdir "$1"
    printf '__attribute__((noinline)) int %s(int a) { return a * 3 + 1; }\n' "$2" >"$1/program.c"
    printf '__attribute__((noinline)) int %s(int a) { return a * 5 + 2; }\n' "$3" >>"$1/program.c"
    printf 'int main(int c, char **v) { (void)v; return %s(c) + %s(c); }\n' "$2" "$3" >>"$1/program.c"
    (cd "$1" && ../venv/bin/python -m ziglang cc -target x86_64-windows-gnu -g -o program.exe program.c) || exit 2
}
build one add subtract; build other subtract add
mkdir mixed; cp one/program.exe other/program.pdb mixed/
cat >facts.py <<'PY'
import sys

import pefile

for name in ("one", "other"):
    with pefile.PE(f"{name}/program.exe") as pe:
        entry = next(e.entry for e in pe.DIRECTORY_ENTRY_DEBUG if e.struct.Type == 2)
        print(f"{name}: GUID begins with {entry.Signature_Data1:08x}, {pe.OPTIONAL_HEADER.SizeOfImage:#x} bytes", file=sys.stderr)
        if name == "one":
            size = pe.OPTIONAL_HEADER.SizeOfImage
print(hex(size + 0x1000))
PY
beyond=$(venv/bin/python facts.py)
symbolizer() { (cd "$1" && ../llvm/usr/lib/llvm-14/bin/llvm-symbolizer --relative-address --obj=program.exe "$2" 2>stderr | sed -n 1p); }
# Where `add` is in the first program, asked by name through its right PDB.
for address in $(seq 4096 16 8192); do
    [ "$(symbolizer one "$address")" = add ] && break
done
right=$(symbolizer one "$address"); wrong=$(symbolizer mixed "$address"); outside=$(symbolizer one "$beyond")
printf 'address %#x with its own PDB: %s; with the PDB of the other build: %s (stderr: %d bytes)\n' \
    "$address" "$right" "$wrong" "$(wc -c <mixed/stderr)"
echo "address $beyond, behind the end of the image: ${outside:-no name}"
[ "$right" = add ] && [ "$wrong" = subtract ] && [ ! -s mixed/stderr ] && [ -n "$outside" ] && [ "$outside" != '??' ] \
    || { echo "this has changed"; exit 1; }
