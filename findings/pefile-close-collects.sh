#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pefile 2024.8.26: closing an image runs a full garbage collection of the whole process, each time.
#
# `PE.close()`, and so the end of a `with` block, calls gc.collect() whether the image was mapped from a file or
# given as bytes.  Its cost is that of the caller's heap and not of the image: beside two million objects a close
# takes a hundred times as long as in an empty process, and a program that looks into some dozens of images in a
# long session spends seconds in it.  An image that was given as bytes holds no file: not closing it is as good.
#
# Counted here, since times differ: full collections (generation 2) during `close()`, and without it.
# Seen: 2026-12-01, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install pefile==2024.8.26 2>pip.log || { cat pip.log >&2; exit 2; }
cat > close.py <<'PY'
import gc
import pathlib
import sys

import pefile
import pip

# A small program for Windows that every pip brings along.
image = next(iter(sorted(pathlib.Path(pip.__file__).parent.glob("_vendor/distlib/w64.exe"))))
full = 0


def count(phase, info):
    global full
    full += phase == "start" and info["generation"] == 2


gc.callbacks.append(count)


def collections(work):
    global full
    full = 0
    work()
    return full


by_name = pefile.PE(str(image), fast_load=True)
given = pefile.PE(data=image.read_bytes(), fast_load=True)
dropped = [pefile.PE(data=image.read_bytes(), fast_load=True)]
print(
    "pefile", pefile.__version__,
    "close of a mapped file:", collections(by_name.close),
    "close of bytes:", collections(given.close),
    "bytes dropped:", collections(dropped.clear),
)  # fmt: skip
PY
venv/bin/python close.py | tee seen
grep -q 'close of a mapped file: 1 close of bytes: 1 bytes dropped: 0$' seen || { echo "this has changed"; exit 1; }
