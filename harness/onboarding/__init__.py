# SPDX-License-Identifier: Apache-2.0
"""From a driver package to a target file, and from a target file to what of the catalogue it opens."""
