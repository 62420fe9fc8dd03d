# SPDX-License-Identifier: Apache-2.0
"""What the release gate asks for: files of packages, digests of results, dates of images, self-tests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "package_file",
        sa.Column("package", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("package", "name", name=op.f("pk_package_file")),
    )
    op.create_table(
        "selftest",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("imported", sa.DateTime(), nullable=False),
        sa.Column("version", sa.String(length=100), nullable=True),
        sa.Column("image", sa.String(length=100), nullable=True),
        sa.Column("build", sa.String(length=100), nullable=True),
        sa.Column("selected", sa.String(length=20), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_selftest")),
        sa.UniqueConstraint("digest", name=op.f("uq_selftest_digest")),
    )
    op.create_index(op.f("ix_selftest_started"), "selftest", ["started"], unique=False)
    for column in (
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("results", sa.String(length=64), nullable=True),
        sa.Column("rows", sa.String(length=64), nullable=True),
        sa.Column("image_made", sa.DateTime(), nullable=True),
        sa.Column("image_expires", sa.DateTime(), nullable=True),
    ):
        op.add_column("run", column)
