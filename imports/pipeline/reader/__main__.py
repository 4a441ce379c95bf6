"""The reader process: open an uploaded file and write its rows to standard output.

`imports.pipeline.reader_process` starts this folder as `python -I -S <folder> '<request>'`. No
other module imports it. It uses neither Django nor the rest of the project, because the file may
be hostile. It limits its own resources before it loads any parser.

The output is JSON lines: the detected format, then chunks of rows, then the end of the file or the
one error that stopped the reading. See `protocol`.
"""

import json
import os
import sys
from functools import partial
from io import BufferedReader

from all_texts import TextWriter, write_texts_of_archive, write_texts_of_bytes
from csv_reader import read_csv
from file_type import detect_file_type
from json_reader import read_json
from jsonl_reader import read_jsonl
from protocol import ReadError, ReadRequest, RowWriter
from sandbox import enter_sandbox, limit_cpu_time
from xlsx_reader import read_sheets, read_with_calamine, read_xlsx
from zip_inspection import inspect_archive


def main() -> None:
    message = json.loads(sys.argv[1])
    enter_sandbox(message["limits"], parent=message["parent"])
    # At the end of the path, so that no package replaces a module of the standard library.
    sys.path.extend(message["packages"])
    request = ReadRequest(**{name: message[name] for name in ReadRequest._fields})
    descriptor: int = message["file"]
    size = os.fstat(descriptor).st_size
    writer = RowWriter(request.limits, file_size=size, after=request.after)
    limit_cpu_time(size)
    try:
        if request.all_texts:
            read_texts(descriptor, writer, request)
        else:
            read_file(descriptor, writer, request)
    except ReadError as error:
        writer.write_error(error.code, error.params)
    except MemoryError:
        writer.write_error("too_much_memory", {})


def read_file(descriptor: int, writer: RowWriter, request: ReadRequest) -> None:
    """Write the rows of the file.

    Raises:
        ReadError: The content of the file cannot be read, or breaks a limit.
        MemoryError: The file needs more memory than the process may use.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        file_type = detect_file_type(file, request.fields)
        if file_type == "zip":
            read_archive(file, writer, request)
        elif file_type == "xls":
            try:
                from xls_reader import read_xls
            except ModuleNotFoundError:  # The optional package xlrd is not installed.
                raise ReadError("xls_not_supported") from None
            read_xls(file, writer, request)
        elif file_type == "jsonl":
            read_jsonl(file, writer)
        elif file_type == "json":
            read_json(file, writer, request)
        else:
            read_csv(file, writer, request)
    writer.write_end()


def read_texts(descriptor: int, writer: RowWriter, request: ReadRequest) -> None:
    """Write all texts of a workbook. For other files, write only the format.

    Raises:
        ReadError: The workbook cannot be read, breaks a limit, or holds an archive.
        MemoryError: The file needs more memory than the process may use.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        file_type = detect_file_type(file, request.fields)
        writer.write_format(file_type)
        if file_type == "zip":
            limit_cpu_time(inspect_archive(file, request.limits).inflated_bytes)
            write_texts_of_archive(file, writer)
        elif file_type == "xls":
            file.seek(0)
            write_texts_of_bytes(file, TextWriter(writer, "", 1.0))
    writer.write_end()


def read_archive(file: BufferedReader, writer: RowWriter, request: ReadRequest) -> None:
    archive = inspect_archive(file, request.limits)
    limit_cpu_time(archive.inflated_bytes)
    if archive.format == "ods":
        from ods_reader import list_ods_sheets

        read_sheets("ods", partial(list_ods_sheets, file, request.limits), writer, request)
    elif archive.format == "xlsb":
        read_with_calamine("xlsb", file, writer, request)
    else:
        read_xlsx(file, writer, request, archive)


main()
