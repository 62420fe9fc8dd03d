#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kdmp-parser 0.7.4: its wheel for Python 3.12 and later cannot be imported by 3.13 and later.
#
# The wheel is tagged cp312-abi3, so that pip installs it for every Python from 3.12 on.  An extension module of the
# stable ABI is called NAME.abi3.so (PEP 384); the one in the wheel is called _kdmp_parser.cpython-312-x86_64-linux-gnu.so,
# a name that only 3.12 looks for.  pip says nothing, and `import kdmp_parser` ends with "No module named
# 'kdmp_parser._kdmp_parser'".  The file itself works: loaded by its path, 3.13 takes it.
#
# Seen: 2026-11-30, with pip for Python 3.13 (Debian 13).  Passes while this is so, fails (exit 1) when it has changed.
# The import is tried where there is a python3.13; what pip chooses and what is in it can be seen by any Python.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: --python-version 3.13 \
    --platform manylinux2014_x86_64 kdmp-parser==0.7.4 2>pip.log || { cat pip.log >&2; exit 2; }
ls *.whl | tee wheel.txt
venv/bin/python -m zipfile -l *.whl | grep -o '_kdmp_parser[^ ]*so' | tee name.txt
grep -q -- '-cp312-abi3-' wheel.txt && grep -qx '_kdmp_parser.cpython-312-x86_64-linux-gnu.so' name.txt ||
    { echo "changed: another wheel, or another name in it"; exit 1; }
if python3.13 -c '' 2>/dev/null; then
    python3.13 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall("there")' ./*.whl
    if PYTHONPATH=there python3.13 -c 'import kdmp_parser' 2>said.txt; then
        echo "changed: Python 3.13 imports it"; exit 1
    fi
    tail -n 1 said.txt
fi
echo "as it was: pip gives 3.13 and later a wheel whose extension only 3.12 finds"
