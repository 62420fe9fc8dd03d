#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pytest-xdist 3.8.0: with `--dist loadfile` (and `loadscope`) a test that ends its worker is handed out again,
# to every new worker, and what comes after it in the file is never run, although the summary does not say so.
#
# With `--dist load` (the default) and `worksteal` such a test is started once, reported as failed, and the rest
# goes on in a new worker.  With `loadfile` and two workers it is started nine times, "9 failed" counts one test
# nine times, and the second test of the file appears nowhere: neither as passed nor as not run.
#
# Seen: 2026-11-27, pytest 9.1.1, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install pytest==9.1.1 pytest-xdist==3.8.0 2>pip.log || { cat pip.log >&2; exit 2; }
cat > test_ends_its_worker.py <<'PY'
import os


def test_first():
    with open(os.environ["STARTS"], "a") as file:
        file.write("x")
    os._exit(1)  # as a fault in a C extension, or the OOM killer, would


def test_second():
    pass
PY
run() {
    rm -f starts; touch starts
    STARTS=$folder/starts venv/bin/python -m pytest -rA -q -p no:cacheprovider -n 2 --dist "$1" test_ends_its_worker.py >"$1.log" 2>&1 || true
    echo "--dist $1: started $(wc -c <starts) time(s), test_second mentioned $(grep -c test_second "$1.log" || true) time(s): $(tail -n 1 "$1.log")"
}
run load | tee seen; run loadfile | tee -a seen
grep -q -- '--dist load: started 1 time(s), test_second mentioned [1-9]' seen \
    && grep -q -- '--dist loadfile: started 9 time(s), test_second mentioned 0 time(s): 9 failed' seen \
    || { echo "this has changed"; exit 1; }
