#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pdbparse 1.5 cannot open a PDB that LLVM's linker wrote: `pdbparse.parse(path)` ends in `KeyError: 62195`,
# a type record that it has no entry for, before anything of the file can be asked, its identity (GUID and age)
# included.  With `fast_load=True` the identity can be read, and its last eight bytes are the text "LLD PDB." in
# every PDB of that linker: 64 of the 128 bits are all that tells builds apart.  purepdb 0.6.0 opens the same file.
#
# The program is two lines of C, built with clang 18 and lld as ziglang 0.13.0 ships them (the first build takes a
# minute).  Seen: 2026-11-27, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
export ZIG_GLOBAL_CACHE_DIR=$folder/zig
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install ziglang==0.13.0 pdbparse==1.5 construct==2.9.52 purepdb==0.6.0 2>pip.log || { cat pip.log >&2; exit 2; }
printf 'int add(int a, int b) { return a + b; }\nint main(void) { return add(1, 2) - 3; }\n' > program.c
venv/bin/python -m ziglang cc -target x86_64-windows-gnu -g -o program.exe program.c || exit 2
venv/bin/python - <<'PY'
import pdbparse
import purepdb

try:
    pdbparse.parse("program.pdb")
    whole = "opens"
except KeyError as error:
    whole = f"KeyError: {error}"
print("pdbparse.parse:", whole)
info = pdbparse.parse("program.pdb", fast_load=True).STREAM_PDB
info.load()
print("pdbparse, fast_load: the GUID ends with", bytes(info.GUID.Data4), "age", info.Age)
with purepdb.PDB.open("program.pdb") as opened:
    functions = len(list(opened.functions()))
print("purepdb:", functions, "functions")
if whole != "KeyError: 62195" or bytes(info.GUID.Data4) != b"LLD PDB." or not functions:
    raise SystemExit("this has changed")
PY
