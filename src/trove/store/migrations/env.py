"""Alembic's entry: runs revisions on the connection that `trove.store.schema` hands over."""

from alembic import context

from trove.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
