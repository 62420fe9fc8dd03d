# SPDX-License-Identifier: Apache-2.0
"""Sequences of steps that nobody wrote, judged as scenarios are (docs/fuzzing.md)."""
