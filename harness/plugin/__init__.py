# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin; pytest finds it by its entry point, or by ``-p harness.plugin``."""

pytest_plugins = ["harness.plugin.hooks", "harness.plugin.selection"]
