#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hypothesis 6.170.15 with pytest 9.2.0: every session imports all of Hypothesis at its end, used or not.
#
# The plugin is kept apart (`_hypothesis_pytestplugin`) so that pytest can load it without Hypothesis, "unless and
# until" somebody imports that, as its own first lines say.  While tests are collected and run this holds.  But
# its part of the terminal summary imports `hypothesis.internal.observability`, which brings all of the package
# with it: in a session of one test that has nothing to do with Hypothesis some 80 of its modules
# are there behind the last test and were not before, in each process that prints a summary.
#
# Seen: 2026-11-30, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install pytest==9.2.0 hypothesis==6.170.15 2>pip.log || { cat pip.log >&2; exit 2; }
cat > conftest.py <<'PY'
import sys


def loaded():
    return sum(name == "hypothesis" or name.startswith("hypothesis.") for name in sys.modules)


def pytest_sessionfinish():
    print(f"\nbehind the last test: {loaded()}")


def pytest_unconfigure():
    print(f"at the end: {loaded()}")
PY
echo 'def test_of_something_else(): pass' > test_one.py
venv/bin/python -m pytest -q -s -p no:cacheprovider >log 2>&1 || { cat log >&2; exit 2; }
before=$(sed -n 's/^behind the last test: //p' log)
after=$(sed -n 's/^at the end: //p' log)
echo "modules of hypothesis behind the last test: $before, at the end of the session: $after"
[ "$before" = 0 ] && [ "$after" -gt 50 ] || { echo "this has changed"; cat log; exit 1; }
