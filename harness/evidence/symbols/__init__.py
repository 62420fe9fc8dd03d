# SPDX-License-Identifier: Apache-2.0
"""From a driver and an offset in it to function, file and line, if the PDB is proven to be that driver's."""

from __future__ import annotations

from harness.evidence.symbols.files import Identity, SymbolFiles
from harness.evidence.symbols.resolve import Line, Symbol, Symbols

__all__ = ["Identity", "Line", "Symbol", "SymbolFiles", "Symbols"]
