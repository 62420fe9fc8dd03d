# SPDX-License-Identifier: Apache-2.0
"""From a scenario and a target to the steps that are sent and what they must answer."""
