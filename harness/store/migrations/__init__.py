# SPDX-License-Identifier: Apache-2.0
"""Alembic's migrations: from an older schema of the store to this program's."""
