# SPDX-License-Identifier: Apache-2.0
"""The store of runs: a database of what came back, over nights (docs/nights.md).

It keeps what results folders hold, and runs nothing.
"""
