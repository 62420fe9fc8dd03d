#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dissect.cstruct 4.7: structures made without data share what is nested in them.  `a = cs.Outer(); a.inner.x = 5`
# changes the inner structure of every `cs.Outer()` that is made afterwards, and of those made with keywords
# (`cs.Outer(y=1)`); arrays of structures are shared in the same way.  Plain numbers are not.  What is
# dumped then depends on what the program built before.  Structures parsed from bytes (`cs.Outer(bytes(n))`) are
# independent of each other.
#
# Seen: 2026-11-27, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install dissect.cstruct==4.7 2>pip.log || { cat pip.log >&2; exit 2; }
venv/bin/python - <<'PY'
from dissect.cstruct import cstruct

cs = cstruct()
cs.load("typedef struct { uint32 x; } Inner; typedef struct { Inner inner; uint32 y; Inner list[2]; } Outer;")
first = cs.Outer()
first.inner.x, first.y, first.list[0].x = 5, 7, 9
fresh, keyword, parsed = cs.Outer(), cs.Outer(y=1), cs.Outer(bytes(len(cs.Outer)))
print("fresh:", fresh.inner.x, fresh.y, fresh.list[0].x)
print("with a keyword:", keyword.inner.x)
print("parsed from zeros:", parsed.inner.x, parsed.list[0].x)
print("a new structure dumps as", fresh.dumps().hex())
if (fresh.inner.x, fresh.y, fresh.list[0].x, keyword.inner.x, parsed.inner.x) != (5, 0, 9, 5, 0):
    raise SystemExit("this has changed")
PY
