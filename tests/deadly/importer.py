"""An importer whose rule needs more memory than there is, so that the kernel kills its worker."""

import os
import signal

from imports.importer import Column, Importer
from tests.parcels.models import Shelf

DEADLY_NUMBER = 66


class DeadlyImporter(Importer):
    name = "deadly"
    model = Shelf
    columns = (Column("number", required=True),)

    @classmethod
    def check_row(cls, values):
        if values["number"] == DEADLY_NUMBER:
            # The kernel sends this signal to a process when memory runs out. A test that used up
            # the memory would end other processes of the machine, too.
            os.kill(os.getpid(), signal.SIGKILL)
