"""The connection to the database of the imports, whichever alias it has in the settings."""

from django.utils.connection import ConnectionProxy

from imports.postgres import get_connection


class CurrentConnections:
    """Connections by alias, of which there is only one: that of the calling thread."""

    def __getitem__(self, alias):
        return get_connection()


# As `django.db.connection`, which is the connection to the alias "default".
connection = ConnectionProxy(CurrentConnections(), "imports")
