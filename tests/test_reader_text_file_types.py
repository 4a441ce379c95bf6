"""Text files that are not tables get an error code. Tables that resemble them are read."""

import pytest

from customers.importers import CustomerImporter
from imports.pipeline.header_detection import get_field_headers
from tests.spreadsheets import expect_unreadable, read_file

FIELDS = get_field_headers(CustomerImporter)

NON_TABLES = [
    ("vcard_file", "BEGIN:VCARD\nVERSION:3.0\nFN:Yaa Owusu\nEND:VCARD\n"),
    ("vcard_file", "begin:vcard\nversion:2.1\nn:Owusu;Yaa\nend:vcard\n"),
    ("vcard_file", "\ufeffBEGIN:VCARD\r\nVERSION:4.0\r\nEND:VCARD\r\n"),
    ("calendar_file", "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR\n"),
    ("email_file", "From: ama@example.com\nTo: esi@example.com\nSubject: List\n\nHere it is\n"),
    ("email_file", "Return-Path: <a@b.com>\nReceived: from x\n\tby y; Mon\nSubject: z\n\nHi\n"),
    ("email_file", "From ama@example.com Mon Mar  2 10:00:00 2026\nFrom: ama@example.com\n\nHi\n"),
    ("email_file", "Message-ID: <1@x>\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\nHello\n"),
    (
        "web_archive",
        "MIME-Version: 1.0\nX-Document-Type: Workbook\n"
        'Content-Type: multipart/related; boundary="b1"\n\n--b1\n<table></table>\n',
    ),
    (
        "web_archive",
        "From: <Saved by Blink>\nSnapshot-Content-Location: https://x/\nSubject: x\n"
        'MIME-Version: 1.0\nContent-Type: multipart/related;\n\tboundary="b"\n\n',
    ),
    (
        "sql_file",
        "-- MySQL dump 10.13\n--\n\nDROP TABLE IF EXISTS `c`;\n",
    ),
    ("sql_file", "/* x */\nSET NAMES utf8mb4;\nCREATE TABLE `c` (id int);\n"),
    ("sql_file", "INSERT INTO customers (mark, name) VALUES ('A 1', 'Ama');\n"),
    ("sql_file", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a);\n"),
    ("sql_file", "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n"),
    ("xml_file", '<?xml version="1.0"?>\n<rows><row><a>1</a></row></rows>\n'),
    ("xml_file", "<customers>\n<customer><name>Ama</name></customer>\n</customers>\n"),
    ("xml_file", '<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document/>\n</kml>\n'),
    ("yaml_file", "---\ncustomers:\n  - mark: A 1\n    name: Ama\n"),
    ("yaml_file", "- mark: A 1\n  name: Ama\n- mark: A 2\n  name: Esi\n"),
    ("yaml_file", "%YAML 1.2\n---\na: 1\nb: 2\n"),
    (
        "log_file",
        '10.0.0.1 - - [12/Mar/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5\n' * 3,
    ),
    ("log_file", "Mar  2 10:00:00 host sshd[5]: Accepted\n" * 3),
    ("log_file", "2026-03-02 10:00:00,123 INFO started\n2026-03-02 10:00:01 ERROR x\n" * 2),
    ("log_file", "[2026-03-02T10:00:00Z] main WARN disk, full; again\n" * 4),
    ("log_file", "ERROR 2026-03-02 10:00:00 no\nINFO 2026-03-02 10:00:01 yes\n" * 2),
]

TABLES = [
    "Date,From,To\n2026-03-02,Accra,Tema\n",
    "From: ,To: \nAccra,Tema\n",
    "Subject;Date\nMaths;2026-03-02\n",
    "begin,end\n1,2\n",
    "Begin: vcard number,x\n1,2\n",
    "Name\nAma\nKofi\nEsi\n",
    "2026-03-02 10:00:00,Ama\n2026-03-02 10:00:01,Esi\n2026-03-02 10:00:02,Efua\n",
    "mark: A 1\nmark: A 2\nmark: A 3\n",
    "- Ama\n- Kofi\n- Esi\n",
    "Create date,Insert into\n1,2\n",
    "Select,Copy,Set\n1,2,3\n",
    "insert,into\n1,2\n",
    "url\nhttps://example.com/a?b=c\n",
    "<5,>5\n1,2\n",
    "key: value,other: value\n1,2\n",
    "INFO,ERROR\n1,2\n3,4\n",
    "-- Customers --\nMark,Phone\nA 1,0241\n",
    "--- Customers ---\nMark,Phone\nA 1,0241\nA 2,0242\n",
    "Set names,Use\nA,B\n",
    # A line that names fields makes the file a table, whatever precedes it.
    "From: Accra branch\nDate: 12.03.2026\nShipping mark,First name,Phone\nA 1,Ama,0241\n",
    "-- export\nINSERT INTO x\nShipping mark;First name;Phone\nA 1;Ama;0241\n",
]


@pytest.mark.parametrize(("code", "text"), NON_TABLES)
def test_text_file_that_is_not_a_table_gets_its_code(code, text):
    assert expect_unreadable(text.encode()) == (code, {})


@pytest.mark.parametrize("text", TABLES)
def test_table_that_resembles_another_type_is_read(text):
    opened, rows, _ = read_file(text.encode(), fields=FIELDS)

    assert opened.format == "csv"
    assert len(rows) == sum(bool(line.strip()) for line in text.splitlines())


def test_text_file_in_utf_16_is_recognised():
    assert expect_unreadable("BEGIN:VCARD\nEND:VCARD\n".encode("utf-16"))[0] == "vcard_file"
