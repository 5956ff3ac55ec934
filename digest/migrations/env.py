"""How Alembic meets our database; run through digest.database.migrate, never by a configuration file."""

from alembic import context
from sqlalchemy import Connection, Engine, text
from sqlmodel import SQLModel

import digest.models  # noqa: F401  the tables register themselves

MIGRATION_LOCK = 727_001


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # a batch rebuild drops the old table: with foreign keys on, its children would be deleted with it
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.commit()
            try:
                _run(connection)
                connection.commit()
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
                if broken:
                    raise RuntimeError(f"the migration would leave rows without their parent: {broken[:3]}")
            finally:
                connection.rollback()
                connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")  # type: ignore[union-attr]
        else:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()
            try:
                _run(connection)
                connection.commit()
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
                connection.commit()


migrate(context.config.attributes["engine"])
