"""Tables as files. What customers typed is text there: no program that opens the file takes it for a formula."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from flask import Response

Cell = str | int | float | date | datetime | None

FORMULAS = ("=", "+", "-", "@")
JUMPS = ("\t", "\r", "\n")  # to another cell, in programs that split once more
UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")  # what stands before a formula and does not stop it: spaces, marks, controls
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def csv_file(name: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """UTF-8 with its mark, so that every table program reads Cyrillic; times as 2026-11-24 14:20."""
    out = io.StringIO(newline="")
    write = csv.writer(out).writerow
    write([defused(cell) for cell in head])
    for row in rows:
        write([defused(cell) for cell in row])
    return _attachment(out.getvalue().encode("utf-8-sig", "replace"), "text/csv; charset=utf-8", f"{name}.csv")


def xlsx_file(name: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """Text stays text, numbers and times are such."""
    import xlsxwriter  # here: it takes 0.15 s to load, at every start of the program

    out = io.BytesIO()
    options = {"constant_memory": True, "in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        sheet, bold = book.add_worksheet(), book.add_format({"bold": True})
        looks = {
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
            date: book.add_format({"num_format": "yyyy-mm-dd"}),
        }
        sheet.freeze_panes(1, 0)
        for column, words in enumerate(head):
            sheet.write_string(0, column, words, bold)
        for number, row in enumerate(rows, start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    sheet.write_string(number, column, cell)
                elif isinstance(cell, date):
                    sheet.write_datetime(number, column, cell, looks[type(cell)])
                elif cell is not None:
                    sheet.write_number(number, column, cell)
    return _attachment(out.getvalue(), XLSX, f"{name}.xlsx")


def defused(cell: Cell) -> str:
    """As CSV has it. What a table program would calculate gets an apostrophe before it; a number is no formula."""
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    if isinstance(cell, str):
        return f"'{cell}" if _may_be_calculated(cell) else cell
    return "" if cell is None else str(cell)


def _may_be_calculated(cell: str) -> bool:
    """NFKC: a full-width ＝ is taken for the plain one."""
    first = next((each for each in cell if unicodedata.category(each) not in UNSEEN), "")
    return unicodedata.normalize("NFKC", first).startswith(FORMULAS) or cell.startswith(JUMPS)


def _attachment(body: bytes, mimetype: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return Response(body, mimetype=mimetype, headers=headers)
