# SPDX-License-Identifier: Apache-2.0
"""Runs: guests, targets, scenarios, attempts, status blocks, signatures, incidents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answers")),
        sa.UniqueConstraint("digest", name=op.f("uq_answers_digest")),
    )
    op.create_table(
        "guest",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("recipe", sa.String(length=200), nullable=False),
        sa.Column("family", sa.String(length=50), nullable=True),
        sa.Column("kernel", sa.String(length=400), nullable=True),
        sa.Column("kernel_build", sa.String(length=100), nullable=True),
        sa.Column("architecture", sa.String(length=100), nullable=True),
        sa.Column("ks_digest", sa.String(length=100), nullable=True),
        sa.Column("ks_version", sa.String(length=200), nullable=True),
        sa.Column("ks_ours", sa.Boolean(), nullable=True),
        sa.Column("image", sa.String(length=100), nullable=True),
        sa.Column("accelerator", sa.String(length=50), nullable=True),
        sa.Column("verifier", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guest")),
        sa.UniqueConstraint("digest", name=op.f("uq_guest_digest")),
    )
    op.create_table(
        "scenario",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("key", sa.String(length=1000), nullable=False),
        sa.Column("name", sa.String(length=600), nullable=False),
        sa.Column("file", sa.String(length=1000), nullable=False),
        sa.Column("content", sa.String(length=100), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("rules", sa.String(length=400), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scenario")),
        sa.UniqueConstraint("digest", name=op.f("uq_scenario_digest")),
    )
    op.create_index(op.f("ix_scenario_key"), "scenario", ["key"], unique=False)
    op.create_table(
        "signature",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature")),
        sa.UniqueConstraint("digest", name=op.f("uq_signature_digest")),
    )
    op.create_table(
        "status_block",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.BigInteger(), nullable=True),
        sa.Column("returned", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("information", sa.BigInteger(), nullable=True),
        sa.Column("pending", sa.BigInteger(), nullable=True),
        sa.Column("pending_returned", sa.BigInteger(), nullable=True),
        sa.Column("completions", sa.BigInteger(), nullable=True),
        sa.Column("irql_after", sa.BigInteger(), nullable=True),
        sa.Column("changed_bytes", sa.BigInteger(), nullable=True),
        sa.Column("changed_first", sa.BigInteger(), nullable=True),
        sa.Column("changed_last", sa.BigInteger(), nullable=True),
        sa.Column("disclosed_bytes", sa.BigInteger(), nullable=True),
        sa.Column("guards_intact", sa.BigInteger(), nullable=True),
        sa.Column("input_intact", sa.BigInteger(), nullable=True),
        sa.Column("argument1", sa.BigInteger(), nullable=True),
        sa.Column("argument2", sa.BigInteger(), nullable=True),
        sa.Column("repeats", sa.BigInteger(), nullable=True),
        sa.Column("flags", sa.BigInteger(), nullable=True),
        sa.Column("protocol", sa.String(length=50), nullable=True),
        sa.Column("seen", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_block")),
        sa.UniqueConstraint("digest", name=op.f("uq_status_block_digest")),
    )
    op.create_table(
        "step",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("do", sa.String(length=50), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("route", sa.String(length=50), nullable=True),
        sa.Column("mode", sa.String(length=50), nullable=True),
        sa.Column("request", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step")),
        sa.UniqueConstraint("digest", name=op.f("uq_step_digest")),
    )
    op.create_table(
        "target",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("package", sa.String(length=100), nullable=True),
        sa.Column("version", sa.String(length=100), nullable=True),
        sa.Column("hardware_id", sa.String(length=400), nullable=True),
        sa.Column("service", sa.String(length=200), nullable=True),
        sa.Column("title", sa.String(length=400), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target")),
        sa.UniqueConstraint("digest", name=op.f("uq_target_digest")),
    )
    op.create_table(
        "answer",
        sa.Column("answers_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("status_block_id", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["answers_id"], ["answers.id"], name=op.f("fk_answer_answers_id_answers")),
        sa.ForeignKeyConstraint(
            ["status_block_id"], ["status_block.id"], name=op.f("fk_answer_status_block_id_status_block")
        ),
        sa.ForeignKeyConstraint(["step_id"], ["step.id"], name=op.f("fk_answer_step_id_step")),
        sa.PrimaryKeyConstraint("answers_id", "position", name=op.f("pk_answer")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("imported", sa.DateTime(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("version", sa.String(length=100), nullable=True),
        sa.Column("command", sa.Text(), nullable=True),
        sa.Column("selection", sa.Text(), nullable=True),
        sa.Column("build", sa.String(length=100), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("guest_id", sa.Integer(), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["guest_id"], ["guest.id"], name=op.f("fk_run_guest_id_guest")),
        sa.ForeignKeyConstraint(["target_id"], ["target.id"], name=op.f("fk_run_target_id_target")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("name", name=op.f("uq_run_name")),
    )
    op.create_index(op.f("ix_run_guest_id"), "run", ["guest_id"], unique=False)
    op.create_index(op.f("ix_run_started"), "run", ["started"], unique=False)
    op.create_index(op.f("ix_run_target_id"), "run", ["target_id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("scenario_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stands", sa.Boolean(), nullable=False),
        sa.Column("torn", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("lease", sa.String(length=200), nullable=True),
        sa.Column("worker", sa.String(length=100), nullable=True),
        sa.Column("answers_id", sa.Integer(), nullable=True),
        sa.Column("signature_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["answers_id"], ["answers.id"], name=op.f("fk_attempt_answers_id_answers")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_attempt_run_id_run")),
        sa.ForeignKeyConstraint(
            ["scenario_id"], ["scenario.id"], name=op.f("fk_attempt_scenario_id_scenario")
        ),
        sa.ForeignKeyConstraint(
            ["signature_id"], ["signature.id"], name=op.f("fk_attempt_signature_id_signature")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("run_id", "scenario_id", "number", name=op.f("uq_attempt_run_id")),
    )
    op.create_index(op.f("ix_attempt_answers_id"), "attempt", ["answers_id"], unique=False)
    op.create_index(op.f("ix_attempt_scenario_id"), "attempt", ["scenario_id"], unique=False)
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_incident_attempt_id_attempt")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index(op.f("ix_incident_attempt_id"), "incident", ["attempt_id"], unique=False)
