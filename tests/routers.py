"""A router that keeps the imports, their records and the users in a database of their own."""

# Their tables have foreign keys to each other. Sessions have none, but are shared by processes.
APPS = {"accounts", "admin", "auth", "contenttypes", "customers", "imports", "parcels", "sessions"}


class ImportsRouter:
    def db_for_read(self, model, **hints):
        return "imports" if model._meta.app_label in APPS else None

    db_for_write = db_for_read

    def allow_relation(self, first, second, **hints):
        return (first._meta.app_label in APPS) == (second._meta.app_label in APPS)

    def allow_migrate(self, db, app_label, **hints):
        return (db == "imports") == (app_label in APPS)
