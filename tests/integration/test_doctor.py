"""`flask doctor` finds what is wrong, says so in words, and tells whoever watches by its exit code."""

import pytest
from sqlalchemy import text

from tests.factories import booking, kyiv
from tests.keys import rsa_key
from tirefit import doctor
from tirefit.database import WRITE, command, db
from tirefit.jobs import tasks
from tirefit.models import OVERLAP_GUARD, Booking, Notification, Reservation, ScheduleSlot

GOOD = {
    ("tirefit.org", "MX"): ["10 mail.tirefit.org."],
    ("tirefit.org", "TXT"): ["google-site-verification=x", "v=spf1 mx -all"],
    ("_dmarc.tirefit.org", "TXT"): ["v=DMARC1; p=quarantine"],
}


@pytest.fixture
def own_domain(app, monkeypatch):
    monkeypatch.setitem(app.config, "MAIL_DEFAULT_SENDER", "TireFit <no-reply@tirefit.org>")
    monkeypatch.setitem(app.config, "BASE_URL", "https://booking.tirefit.org")


def of_domain(records, name="tirefit.org"):
    found = doctor.domain(name, lambda name, kind: records.get((name, kind), []))
    return {finding.about: finding.state for finding in found}


def found():
    db.session.rollback()
    return {(finding.about, finding.state) for finding in doctor.examine()}


@pytest.fixture
def run(app):
    return lambda *words: app.test_cli_runner().invoke(args=["doctor", "--no-dns", *words])


def raw(*statements):
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        for statement in statements:
            connection.execute(text(statement))


# --- the data


def test_a_sound_installation_is_found_sound(station, run):
    booking(station, "10:30")
    tasks.drain_letters()

    assert found() >= {(name, "ok") for name in ("schema", "guard", "overlaps", "orphans", "offers", "letters", "mail")}
    assert "WRONG  queue: no worker listens" in run().output  # the tests have none
    of_the_stage = ("WRONG  queue", "WRONG  clock")  # which stands still, and the database's does not
    assert not [
        line for line in run().output.splitlines() if line.startswith("WRONG") and not line.startswith(of_the_stage)
    ]


@pytest.mark.parametrize("database", ["sqlite"])
def test_overlaps_are_found_after_the_guard_was_lost(station, run):
    booking(station, "10:30")
    guards = db.session.execute(
        text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'reservations'")
    ).all()
    db.session.rollback()
    raw(*(f"DROP TRIGGER {name}" for name, _sql in guards))
    try:
        columns = ", ".join(column.name for column in Reservation.__table__.columns if column.name != "id")
        copied = columns.replace("token_hash", "token_hash || 'x'")
        raw(f"INSERT INTO reservations ({columns}) SELECT {copied} FROM reservations")

        assert found() >= {("guard", "wrong"), ("overlaps", "wrong"), ("orphans", "wrong")}
        result = run()
        assert result.exit_code == 1
        assert f"WRONG  guard: {OVERLAP_GUARD} is missing" in result.output
    finally:
        raw("DELETE FROM reservations WHERE id > 1", *(sql for _name, sql in guards))


def test_an_offer_that_is_not_as_the_hours_say_is_found(station):
    @command
    def lose_a_slot():
        db.session.delete(db.session.query(ScheduleSlot).filter(ScheduleSlot.starts_at > kyiv("12:00")).first())

    lose_a_slot()

    assert ("offers", "wrong") in found()


def test_letters_that_wait_or_have_failed_are_told(station, at, smtp):
    booking(station, "2026-11-03 10:30")
    at("09:40")
    assert ("letters", "wrong") in found()

    smtp.refuse_next = ["550 no"]
    tasks.drain_letters()
    assert {state for about, state in found() if about == "letters"} == {"ok", "look"}
    assert db.session.query(Notification).count() == 2 and db.session.query(Booking).count() == 1


def test_a_mail_server_that_is_away_is_told_with_its_own_words(app, station, smtp, run):
    smtp.stop()
    try:
        assert "WRONG  mail: the mail server cannot be used: ConnectionRefusedError" in run().output
    finally:
        smtp.start()


# --- the domain that letters come from


def test_a_domain_that_is_set_up_well_is_found_so(own_domain):
    assert of_domain(GOOD) == {"From": "ok", "SPF": "ok", "DKIM": "look", "DMARC": "ok"}


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({("tirefit.org", "MX"): []}, "From"),
        ({("tirefit.org", "TXT"): []}, "SPF"),
        ({("tirefit.org", "TXT"): ["v=spf1 a -all", "v=spf1 mx -all"]}, "SPF"),
        ({("tirefit.org", "TXT"): ["v=spf1 +all"]}, "SPF"),
        ({("_dmarc.tirefit.org", "TXT"): []}, "DMARC"),
        ({("_dmarc.tirefit.org", "TXT"): ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "DMARC"),
    ],
)
def test_each_record_that_is_missing_or_wrong_is_told(own_domain, change, about):
    assert of_domain(GOOD | change)[about] == "wrong"


def test_a_domain_below_is_covered_by_the_policy_above_it(own_domain):
    below = {("mail.tirefit.org", "MX"): ["10 x."], ("mail.tirefit.org", "TXT"): ["v=spf1 mx ~all"]}

    assert of_domain(GOOD | below, "mail.tirefit.org")["DMARC"] == "ok"


OWN_SERVER = {
    ("mail.tirefit.org", "A"): ["185.1.2.3"],
    ("3.2.1.185.in-addr.arpa.", "PTR"): ["mail.tirefit.org."],
}


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize(
    ("server", "change", "state"),
    [
        ("mail.tirefit.org", {}, "ok"),
        ("mail.tirefit.org", {("3.2.1.185.in-addr.arpa.", "PTR"): []}, "wrong"),
        ("mail.tirefit.org", {("3.2.1.185.in-addr.arpa.", "PTR"): ["of-somebody-else.net."]}, "wrong"),
        ("mail.tirefit.org", {("mail.tirefit.org", "A"): ["10.0.0.7"]}, None),  # others see another address
        ("smtp.relay.net", {}, None),  # the relay's business
        ("nottirefit.org", {("nottirefit.org", "A"): ["185.1.2.4"]}, None),
    ],
)
def test_the_address_of_ones_own_mail_server_has_a_name_that_leads_back(
    app, own_domain, monkeypatch, server, change, state
):
    monkeypatch.setitem(app.config, "MAIL_SERVER", server)

    assert of_domain(GOOD | OWN_SERVER | change).get("PTR") == state


@pytest.mark.parametrize("name", ["localhost", "tirefit.example", "box.local"])
def test_an_address_that_nobody_can_answer_is_told(own_domain, name):
    assert of_domain(GOOD, name) == {"From": "wrong"}


def test_links_that_lead_to_another_domain_are_told(app, own_domain, monkeypatch):
    monkeypatch.setitem(app.config, "BASE_URL", "https://somewhere.net")

    assert of_domain(GOOD)["From"] == "look"


def test_a_dns_server_that_says_nothing_is_no_fault_of_the_domain(own_domain):
    def silent(name, kind):
        raise OSError("timed out")

    assert [(finding.about, finding.state) for finding in doctor.domain("tirefit.org", silent)] == [("DNS", "look")]


@pytest.mark.parametrize("database", ["sqlite"])
def test_the_key_must_fit_the_record(app, own_domain, monkeypatch, tmp_path):
    key, other = rsa_key(), rsa_key()
    (tmp_path / "dkim.pem").write_text(key.pem)
    monkeypatch.setitem(app.config, "DKIM_KEY_FILE", str(tmp_path / "dkim.pem"))

    for record, state in ((None, "wrong"), (other.public_text, "wrong"), (key.public_text, "ok")):
        at = {("tirefit._domainkey.tirefit.org", "TXT"): [f"v=DKIM1; k=rsa; p={record}"]} if record else {}
        assert of_domain(GOOD | at)["DKIM"] == state
    (tmp_path / "dkim.pem").write_text("no key")
    assert of_domain(GOOD | at)["DKIM"] == "wrong"
