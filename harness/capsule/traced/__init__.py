# SPDX-License-Identifier: Apache-2.0
"""Traces of kstrace.sys in capsules: read, made a scenario, judged (docs/tracing.md)."""
