"""The child process that opens an uploaded file and answers with its rows.

Started as `python -I -S <this folder> '<order>'`, never imported: it stands alone, without
Django and without the rest of the project, because the file it reads may be hostile. It
confines itself before any parser is loaded and speaks JSON lines on standard output:
what was opened, then chunks of rows, then the end or the one reason why not.
"""

import json
import os
import sys
from functools import partial
from io import BufferedReader

from csv_reader import read_text
from file_type import recognise
from json_reader import read_json
from jsonl_reader import read_lines
from protocol import Answers, Order, Refused
from sandbox import confine, limit_time
from xlsx_reader import answer, answer_with_calamine, read_workbook
from zip_inspection import inspect


def main() -> None:
    order = json.loads(sys.argv[1])
    confine(order["limits"], parent=order["parent"])
    sys.path.extend(order["packages"])  # Last, so that no package can stand in for the library.
    order, file = Order(*[order[name] for name in Order._fields]), order["file"]
    size = os.fstat(file).st_size
    answers = Answers(order.limits, file_size=size, after=order.after)
    limit_time(size)
    try:
        read(file, answers, order)
    except Refused as refused:
        answers.refuse(refused.code, refused.params)
    except MemoryError:
        answers.refuse("too_much_memory", {})


def read(descriptor: int, answers: Answers, order: Order) -> None:
    """Answer with the file's rows, or raise Refused when the file is to blame."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        kind = recognise(file, order.fields)
        if kind == "zip":
            read_archive(file, answers, order)
        elif kind == "xls":
            from xls_reader import read_old_workbook

            read_old_workbook(file, answers, order)
        elif kind == "jsonl":
            read_lines(file, answers)
        elif kind == "json":
            read_json(file, answers, order)
        else:
            read_text(file, answers, order)
    answers.end()


def read_archive(file: BufferedReader, answers: Answers, order: Order) -> None:
    archive = inspect(file, order.limits)
    limit_time(archive.inflated_bytes)
    if archive.kind == "ods":
        from ods_reader import sheets

        answer("ods", partial(sheets, file, order.limits), answers, order)
    elif archive.kind == "xlsb":
        answer_with_calamine("xlsb", file, answers, order)
    else:
        read_workbook(file, answers, order, archive)


main()
