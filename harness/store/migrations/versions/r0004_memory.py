# SPDX-License-Identifier: Apache-2.0
"""What a run took of the host's memory, by which the next night's cells are planned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """To this schema."""
    op.add_column("run", sa.Column("memory_mib", sa.Integer(), nullable=True))
