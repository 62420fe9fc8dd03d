# SPDX-License-Identifier: Apache-2.0
"""Which code of drivers was executed: counted below the guest, named by images and PDBs, told in reports."""
