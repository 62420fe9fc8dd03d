# SPDX-License-Identifier: Apache-2.0
"""Run by Alembic: within the transaction of the connection that `harness.store.database` hands over."""

from __future__ import annotations

from alembic import context

from harness.store.models import Base

if hasattr(context, "config"):  # else somebody merely imports this
    context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
    context.run_migrations()
