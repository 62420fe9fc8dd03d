# SPDX-License-Identifier: Apache-2.0
"""Everything of the project is imported before any pytester run.

pytester takes back what a run inside this process imported.  A module of ours that is first imported in
such a run would be imported again later, and its enumerations and caches would then exist twice.
"""

from __future__ import annotations

import importlib
import pkgutil

import drivers
import harness
import vm

for _package in (drivers, vm, harness):
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        if not _module.name.endswith(".__main__"):
            importlib.import_module(_module.name)
