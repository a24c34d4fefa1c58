"""`flask doctor`: is everything as it should be? Looks at the data, the queue, the clock and the way of letters.

Changes nothing. Each check is a function that yields findings; what is wrong says what to do about it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
import dns.reversename
from flask import current_app
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import aliased, selectinload

from tirefit import clock, jobs
from tirefit.database import db, schema_state
from tirefit.jobs import queues
from tirefit.models import (
    OVERLAP_GUARD,
    Booking,
    Notification,
    Reservation,
    ServicePoint,
    overlap_guard_is_there,
)
from tirefit.notifications import alerts, delivery, outbox
from tirefit.notifications.letters import sender_domain
from tirefit.schedule import slots
from tirefit.schedule.slots import load_hours, offered_days, pace_of

State = Literal["ok", "look", "wrong"]
Lookup = Callable[[str, str], list[str]]  # a name and a type of record → the records, without quotes

CLOCKS_APART = timedelta(seconds=5)
A_DAY = timedelta(days=1)
PATIENCE = 5  # seconds for one question to DNS


@dataclass(frozen=True)
class Finding:
    """`wrong`: something does not work, or a promise is not kept. `look`: it works, and could be better."""

    state: State
    about: str
    words: str


def examine(lookup: Lookup | None = None) -> Iterator[Finding]:
    """Everything, in order: data, offers, letters, queue, clock, mail. `lookup` None: DNS is not asked."""
    yield from schema()
    yield from _reservations()
    yield from _offers()
    yield from _letters()
    yield from _queue()
    yield from _clock()
    yield from mail_server()
    if lookup is not None and current_app.config["MAIL_SERVER"]:
        yield from domain(sender_domain(), lookup)


def ask_dns(name: str, kind: str) -> list[str]:
    """What DNS has under a name. Nothing there is an empty list; raises OSError when DNS does not answer."""
    try:
        answer = dns.resolver.resolve(name, kind, lifetime=PATIENCE)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise OSError(str(error)) from error
    if kind == "TXT":
        return [b"".join(record.strings).decode(errors="replace") for record in answer]
    return [record.to_text() for record in answer]


def domain(name: str, lookup: Lookup) -> Iterator[Finding]:
    """May letters of this domain come from us, and can a mailbox tell? SPF, DKIM, DMARC, a From that fits, and the name
    of a mail server of the domain's own.
    """
    if "." not in name or name.endswith((".localhost", ".invalid", ".example", ".local")):
        yield Finding("wrong", "From", f"letters come from @{name}: set TIREFIT_MAIL_DEFAULT_SENDER to your own domain")
        return
    try:
        yield from _from(name, lookup)
        yield from _spf(name, lookup)
        yield from _dkim(name, lookup)
        yield from _dmarc(name, lookup)
        yield from _ptr(name, lookup)
    except OSError as error:
        yield Finding("look", "DNS", f"cannot be asked about {name}: {error}")


def schema() -> Iterator[Finding]:
    """Is it the one this code was written for, and does it keep a time from being sold twice?"""
    connection = db.session.connection()
    match schema_state(connection):
        case "ok":
            yield Finding("ok", "schema", "the newest")
        case "ahead":
            yield Finding("look", "schema", "is ahead of this release: a newer one has migrated it")
        case "behind":
            yield Finding("wrong", "schema", "is not the newest; run: flask db upgrade")
            if not inspect(connection).has_table(Reservation.__tablename__):
                return  # nothing to guard yet
    if overlap_guard_is_there(connection):
        yield Finding("ok", "guard", "the database refuses overlaps")
    else:
        yield Finding(
            "wrong", "guard", f"{OVERLAP_GUARD} is missing: a time can be sold twice. Restore it first of all"
        )


def _reservations() -> Iterator[Finding]:
    one, other = aliased(Reservation), aliased(Reservation)
    overlapping = (
        select(func.count())
        .select_from(one)
        .join(other, (one.service_post_id == other.service_post_id) & (one.id < other.id))
        .where(one.starts_at < other.ends_at, other.starts_at < one.ends_at)
    )
    yield from _count("overlaps", overlapping, "pairs of reservations overlap", "no two reservations overlap")
    owned = select(Booking.id).where(Booking.reservation_id == Reservation.id)
    orphans = select(func.count()).select_from(Reservation).where(Reservation.kind == "booking", ~owned.exists())
    yield from _count("orphans", orphans, "reservations belong to no booking", "every reservation has its booking")


def _count(about: str, count, wrong: str, fine: str) -> Iterator[Finding]:  # type: ignore[no-untyped-def]
    found = db.session.scalar(count) or 0
    yield Finding("wrong" if found else "ok", about, f"{found} {wrong}" if found else fine)


def _offers() -> Iterator[Finding]:
    """Is what is offered what the hours say, on every day that has been opened?"""
    differ = []
    stations = select(ServicePoint).where(ServicePoint.active, ServicePoint.slots_until.is_not(None))
    for point in db.session.scalars(stations.options(selectinload(ServicePoint.posts)).order_by(ServicePoint.id)):
        first, last = offered_days(point)
        last = min(last, point.slots_until or last)
        if first <= last:
            planned = slots.difference(point, [pace_of(post) for post in point.posts], load_hours(point), first, last)
            if planned.added or planned.removed:
                differ.append(f"{point.slug} (+{len(planned.added)} -{len(planned.removed)})")
    if differ:
        yield Finding("wrong", "offers", f"not as planned: {', '.join(differ)}; run: flask generate-schedule --again")
    else:
        yield Finding("ok", "offers", "as the hours say")
    if behind := alerts.stations_behind():
        yield Finding("wrong", "horizon", f"new days are not opened: {', '.join(behind)}. Do scheduler and worker run?")


def _letters() -> Iterator[Finding]:
    stuck, waiting = alerts.letters_are_stuck(), outbox.how_many_wait()
    if stuck:
        words = f"{stuck['count']} letters wait, for up to {stuck['minutes']} minutes, and none leaves"
        yield Finding("wrong", "letters", words)
    else:
        yield Finding("ok", "letters", f"{waiting} due now, none stuck")
    failed = select(func.count()).where(Notification.state == "failed", Notification.created_at > clock.now() - A_DAY)
    if count := db.session.scalar(failed):
        yield Finding("look", "letters", f"{count} failed since yesterday: see the stations' logs of letters")


def _queue() -> Iterator[Finding]:
    state = jobs.queue_state()
    if state == "none":
        yield Finding("ok", "queue", "none; the web process does the jobs")
        return
    try:
        found = queues.overview()
    except queues.QueueAway:
        yield Finding("wrong", "queue", "Redis does not answer. Nothing is lost; letters wait for it")
        return
    assert found is not None
    failed = sum(len(line.failed) for line in found.lines)
    if not found.workers:
        yield Finding("wrong", "queue", "no worker listens: letters wait. Start: flask worker")
    else:
        yield Finding("ok", "queue", f"{found.workers} workers, {sum(line.waiting for line in found.lines)} jobs wait")
    if failed:
        yield Finding("look", "queue", f"{failed} jobs have failed: see /admin/queue")


def _clock() -> Iterator[Finding]:
    if db.engine.dialect.name == "sqlite":
        yield Finding("ok", "clock", "the database has none of its own")
        return
    apart = abs(datetime.now(UTC) - db.session.execute(select(func.clock_timestamp())).scalar_one())
    state: State = "ok" if apart <= CLOCKS_APART else "wrong"
    yield Finding(state, "clock", f"{apart.total_seconds():.1f} s from the database's")


def mail_server() -> Iterator[Finding]:
    """Does it let us in?"""
    if delivery.way() is None:
        yield Finding("wrong", "mail", "TIREFIT_MAIL_SERVER is not set: letters wait for ever")
    elif delivery.way() == "mailbox":
        yield Finding("ok", "mail", "a demo: letters stay here, at /dev/mail")
    else:
        problem = delivery.greet()
        words = f"the mail server cannot be used: {problem}" if problem else "the mail server lets us in"
        yield Finding("wrong" if problem else "ok", "mail", words)


def _from(name: str, lookup: Lookup) -> Iterator[Finding]:
    address = parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1]
    if not (lookup(name, "MX") or lookup(name, "A") or lookup(name, "AAAA")):
        yield Finding("wrong", "From", f"{address}: no such domain in DNS; answers and bounces go nowhere")
        return
    host = urlsplit(current_app.config["BASE_URL"]).hostname or ""
    fits = host == name or host.endswith(f".{name}") or name.endswith(f".{host}")
    words = f"{address}" if fits else f"{address}, while links lead to {host}: readers may take it for a trick"
    yield Finding("ok" if fits else "look", "From", words)


def _spf(name: str, lookup: Lookup) -> Iterator[Finding]:
    found = [text for text in lookup(name, "TXT") if text.lower().split(" ")[0] == "v=spf1"]
    if len(found) != 1:
        words = (
            f'{name} has {len(found) or "no"} SPF records; it needs one, like "v=spf1 mx include:YOUR-MAIL-HOST ~all"'
        )
        yield Finding("wrong", "SPF", words)
    elif found[0].split()[-1].lower() in ("+all", "all"):
        yield Finding("wrong", "SPF", f'"{found[0]}" lets everybody write in your name; end it with ~all or -all')
    else:
        yield Finding("ok", "SPF", found[0])


def _dkim(name: str, lookup: Lookup) -> Iterator[Finding]:
    selector, key_file = current_app.config["DKIM_SELECTOR"], current_app.config["DKIM_KEY_FILE"]
    at = f"{selector}._domainkey.{name}"
    if not key_file:
        yield Finding(
            "look", "DKIM", "not signed here. Fine where your mail server signs; else set TIREFIT_DKIM_KEY_FILE"
        )
        return
    import dkim  # here, as in delivery: few need it

    found = [text for text in lookup(at, "TXT") if "p=" in text]
    if not found:
        yield Finding("wrong", "DKIM", f'{at} has no record; publish "v=DKIM1; k=rsa; p=…" with the public key')
        return
    letter = f"From: x@{name}\r\nTo: x@{name}\r\nSubject: x\r\nDate: x\r\nMessage-ID: <x@{name}>\r\n\r\nx\r\n".encode()
    try:
        signed = delivery.signed(letter)
        fits = dkim.verify(signed, dnsfunc=lambda _name, timeout=PATIENCE: found[0].encode())
    except (OSError, dkim.DKIMException, ValueError) as error:
        yield Finding("wrong", "DKIM", f"{key_file} cannot sign: {error}")
        return
    words = f"{at} fits the key" if fits else f"{at} is not the public half of {key_file}: mailboxes will refuse"
    yield Finding("ok" if fits else "wrong", "DKIM", words)


def _dmarc(name: str, lookup: Lookup) -> Iterator[Finding]:
    parts = name.split(".")
    places = [".".join(["_dmarc", *parts[n:]]) for n in range(max(1, len(parts) - 1))]  # the domain's own, or above it
    for place in places:
        found = [text for text in lookup(place, "TXT") if text.lower().startswith("v=dmarc1")]
        if found:
            yield Finding("ok" if len(found) == 1 else "wrong", "DMARC", f"{place}: {'; '.join(found)}")
            return
    yield Finding(
        "wrong", "DMARC", f'_dmarc.{name} has no record; begin with "v=DMARC1; p=none; rua=mailto:you@{name}"'
    )


def _ptr(name: str, lookup: Lookup) -> Iterator[Finding]:
    """Has each address of our own mail server a name that leads back to it? A relay's name is the relay's business, and
    an address within a network is not the one that others see.
    """
    host = current_app.config["MAIL_SERVER"].lower()
    if host != name and not host.endswith(f".{name}"):
        return
    for address in [*lookup(host, "A"), *lookup(host, "AAAA")]:
        if not ip_address(address).is_global:
            continue
        pointers = lookup(dns.reversename.from_address(address).to_text(), "PTR")
        kind = "AAAA" if ":" in address else "A"
        leads_back = [pointer for pointer in pointers if address in lookup(pointer.rstrip("."), kind)]
        if leads_back:
            yield Finding("ok", "PTR", f"{address} is {leads_back[0].rstrip('.')}")
        else:
            words = f"its name {pointers[0].rstrip('.')} does not lead back to it" if pointers else "has no name"
            yield Finding("wrong", "PTR", f"{address} of {host}: {words}. Ask whoever gave you the address for {host}")
