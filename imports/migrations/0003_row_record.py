from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """The largest table gets an index while imports go on."""

    atomic = False

    dependencies = [("imports", "0002_same_file")]

    operations = [
        AddIndexConcurrently(
            model_name="importrow",
            index=models.Index(
                fields=["target_id"], name="row_record", condition=Q(target_id__isnull=False)
            ),
        ),
    ]
