"""Programs that read letters follow their links: HEAD and GET, again and again, under odd names. Whatever the letter is
about, nothing may come of it.
"""

import itertools
import re

import pytest

from tests import factories
from tests.checksum import checksum
from tests.conftest import ON_ONE_DATABASE, TRIALS
from tests.factories import booking
from tirefit import clock
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import command, db
from tirefit.models import Booking
from tirefit.notifications import letters, outbox
from tirefit.notifications.kinds import KINDS
from tirefit.notifications.outbox import ClaimedLetter

SCANNERS = (
    "",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; WOW64; Trident/6.0)",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Barracuda Sentinel (EE)",
    "python-requests/2.31.0",
    "curl/8.5.0",
    "Wget/1.21",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "\U0001f916".encode().decode("latin-1"),
)


@pytest.fixture
def links(app):
    """kind → the addresses in its letter, text and HTML, without the host."""
    station = factories.station(cancel_cutoff_minutes=0)
    live, gone, done = (booking(station, time).id for time in ("10:00", "12:00", "14:00"))
    cancel_booking(gone, actor=USER)
    for event in ("start", "complete"):
        transition_booking(done, event)
    found = {}
    for kind, about in KINDS.items():
        made = live if about.of_live_booking else done if about.statuses == ("completed",) else gone
        token = link_to(made) if about.to_customer else None
        letter = letters.compose(
            ClaimedLetter(1, kind, made, "anna@example.com", "ru", "0123abcd", "lease", clock.now(), token)
        )
        found[kind] = set(re.findall(r"https://tirefit\.test(/[^\s\"<>)]*)", letter.body + letter.html))
    return found


@command
def link_to(booking_id):
    return outbox._new_link(db.session.get_one(Booking, booking_id), clock.now())


@ON_ONE_DATABASE
def test_visits_of_scanners_to_every_link_of_every_letter_change_nothing(app, links):
    """Each link by two of them, and all by all in the long form: twenty visits of each link."""
    assert set(links) == set(KINDS)
    before, others = checksum(), itertools.cycle(SCANNERS)
    for kind, found in links.items():
        assert found, f"{kind} has no link at all"
        for link in sorted(found):
            for name in SCANNERS if TRIALS else (next(others), next(others)):
                for method in ("HEAD", "GET"):
                    scanner = app.test_client()
                    answer = scanner.open(
                        link, method=method, headers={"User-Agent": name, "Purpose": "prefetch"}, follow_redirects=True
                    )
                    assert answer.status_code == 200, (kind, link, answer.status_code)
        assert checksum() == before, f"a scanner has changed something through a link of {kind}"
