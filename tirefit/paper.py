"""The day on paper, for when nothing else works: each station's board of today and tomorrow as a file of its own.

Written every hour beside the data, with everything it needs inside: any browser opens and prints it without a server.
"""

import json
import os
import threading
from datetime import timedelta
from pathlib import Path

from flask import current_app, render_template
from flask_babel import force_locale
from sqlalchemy import select

from tirefit import clock
from tirefit.board import load_day
from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.schedule.windows import local_day

KEPT = timedelta(days=3)
PHONES, MOST_PHONES = "phones.json", 5


def folder() -> Path:
    """Where the files lie: one folder per station, one file per day."""
    return Path(current_app.config["INSTANCE_PATH"], "paper")


def save_copies() -> int:
    """Write today's and tomorrow's board of every active station; → how many files. Older ones go after three days.

    A file is replaced whole: whoever prints at that moment gets the old one or the new one.
    """
    written, phones = 0, {}
    for point_id in db.session.scalars(
        select(ServicePoint.id).where(ServicePoint.active).order_by(ServicePoint.id)
    ).all():
        point = db.session.get_one(ServicePoint, point_id)
        phones[point.slug] = (point.name, point.phone)
        place = folder() / point.slug
        place.mkdir(parents=True, exist_ok=True)
        today = local_day(point.time_zone, clock.now())
        for day in (today, today + timedelta(days=1)):
            with force_locale(point.locale):
                page = render_template("board/paper.html", point=point, day=load_day(point, day))
            _replace(place / f"{day}.html", page)
            written += 1
        for old in place.glob("*.html"):
            if old.stem < (today - KEPT).isoformat():
                old.unlink()
        db.session.rollback()
        db.session.expunge_all()  # a thousand stations need no more memory than one
    if phones:
        _replace(folder() / PHONES, json.dumps(phones, ensure_ascii=False))
    return written


def phones(slug: str | None) -> list[tuple[str, str]]:
    """Name and phone of the station that was asked for, or of some, from the last copy: for when nothing else works."""
    try:
        known = json.loads((folder() / PHONES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = [known[slug]] if slug in known else list(known.values())[:MOST_PHONES]
    return [(name, phone) for name, phone in found if phone]


def _replace(file: Path, text: str) -> None:
    # A name of its own: two processes may save the same day at once.
    draft = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
