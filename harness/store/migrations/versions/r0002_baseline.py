# SPDX-License-Identifier: Apache-2.0
"""What was accepted, by whom, and which fields vary in fact."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "acceptance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(length=400), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("pattern", sa.String(length=1000), nullable=False),
        sa.Column("guest_id", sa.Integer(), nullable=False),
        sa.Column("target_name", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["guest_id"], ["guest.id"], name=op.f("fk_acceptance_guest_id_guest")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_acceptance_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acceptance")),
    )
    op.create_table(
        "varying",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scenario_id", sa.Integer(), nullable=False),
        sa.Column("guest_id", sa.Integer(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=200), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["guest_id"], ["guest.id"], name=op.f("fk_varying_guest_id_guest")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_varying_run_id_run")),
        sa.ForeignKeyConstraint(
            ["scenario_id"], ["scenario.id"], name=op.f("fk_varying_scenario_id_scenario")
        ),
        sa.ForeignKeyConstraint(["target_id"], ["target.id"], name=op.f("fk_varying_target_id_target")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_varying")),
        sa.UniqueConstraint(
            "scenario_id", "guest_id", "target_id", "position", "field", name=op.f("uq_varying_scenario_id")
        ),
    )
    op.create_index("ix_varying_inputs", "varying", ["guest_id", "target_id"], unique=False)
    op.create_table(
        "accepted",
        sa.Column("acceptance_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scenario_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("answers_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["acceptance_id"], ["acceptance.id"], name=op.f("fk_accepted_acceptance_id_acceptance")
        ),
        sa.ForeignKeyConstraint(["answers_id"], ["answers.id"], name=op.f("fk_accepted_answers_id_answers")),
        sa.ForeignKeyConstraint(
            ["scenario_id"], ["scenario.id"], name=op.f("fk_accepted_scenario_id_scenario")
        ),
        sa.PrimaryKeyConstraint("acceptance_id", "scenario_id", name=op.f("pk_accepted")),
        sqlite_with_rowid=False,
    )
