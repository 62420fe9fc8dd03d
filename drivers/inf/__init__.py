# SPDX-License-Identifier: Apache-2.0
"""A reader for driver INF files, as far as checking and deploying a package needs them.

- `syntax`: bytes to sections and entries ("General Syntax Rules for INF Files")
- `decorations`: which models are for which system ("Combining Platform Extensions with Operating System
  Versions")
- `model`: the INF: its models, install sections, services
- `components`: what other INFs of a package add to a device
- `files`: what an installation copies, and where in the package it lies
- `wine`: the copy that Wine's setupapi understands; `borrowed`: sections of other INFs in it
"""

from drivers.inf.components import Component, components, extensions
from drivers.inf.decorations import System
from drivers.inf.files import Copied, copied_files, further_infs, listed_files
from drivers.inf.model import Inf, Model, load, parse
from drivers.inf.syntax import Line

__all__ = [
    "Component",
    "Copied",
    "Inf",
    "Line",
    "Model",
    "System",
    "components",
    "copied_files",
    "extensions",
    "further_infs",
    "listed_files",
    "load",
    "parse",
]
