# SPDX-License-Identifier: Apache-2.0
"""The release gate: yes or no for one driver package, with reasons that can be checked (docs/gate.md).

It reads the store and the files that runs have left, and runs nothing.
"""
