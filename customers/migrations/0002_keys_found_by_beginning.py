from django.db import migrations, models

KEYS = ("shipping_mark", "email", "phone")


def changed(key, *opclasses):
    """The constraint's index built anew beside the old one, which goes when it is there."""
    name, new = f"customer_{key}_unique", f"customer_{key}_anew"
    opclass = "".join(opclasses)
    statements = [
        f"DROP INDEX CONCURRENTLY IF EXISTS {new}",  # Of an attempt that failed.
        f"CREATE UNIQUE INDEX CONCURRENTLY {new} ON customers_customer ({key} {opclass})",
        f"ALTER TABLE customers_customer DROP CONSTRAINT IF EXISTS {name}",
        f"DROP INDEX IF EXISTS {name}",
        f"ALTER INDEX {new} RENAME TO {name}",
    ]
    if not opclasses:
        statements.append(
            f"ALTER TABLE customers_customer ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
        )
    return statements


def database():
    return [migrations.RunSQL(changed(key, "varchar_pattern_ops"), changed(key)) for key in KEYS]


def state():
    for key in KEYS:
        name = f"customer_{key}_unique"
        yield migrations.RemoveConstraint(model_name="customer", name=name)
        yield migrations.AddConstraint(
            model_name="customer",
            constraint=models.UniqueConstraint(
                fields=[key], name=name, opclasses=["varchar_pattern_ops"]
            ),
        )


class Migration(migrations.Migration):
    """Unique keys are found by their beginning too; imports go on meanwhile."""

    atomic = False

    dependencies = [("customers", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=database(), state_operations=list(state())
        )
    ]
