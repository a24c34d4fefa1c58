"""What whoever runs TireFit sees of it: figures for a monitoring system, and a log that may be shown to others."""

import json
import logging
import re

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.factories import PASSWORD, booking, kyiv
from tirefit import jobs, logs
from tirefit.database import db
from tirefit.notifications.outbox import claim, mark_failed
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily

TOKEN = {"Authorization": "Bearer let-me-see"}


@pytest.fixture
def watched(app, monkeypatch):
    monkeypatch.setitem(app.config, "METRICS_TOKEN", "let-me-see")


def figures(client) -> dict[str, float]:
    answer = client.get("/metrics", headers=TOKEN)
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    lines = (line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_the_figures_are_those_of_the_database(client, station, watched, at, statements):
    for time in ("10:00", "11:00"):
        booking(station, time)
    reserve_slot_temporarily(station.id, kyiv("12:00"), 30, new_token())
    letter = claim()
    mark_failed(letter.id, letter.lease, "550 no such mailbox")
    at("09:05")
    db.session.rollback()

    with statements() as seen:
        found = figures(client)

    assert found["tirefit_overlap_guard"] == 1
    assert found['tirefit_bookings_day{source="online"}'] == 2
    assert found["tirefit_holds"] == 1
    assert found["tirefit_letters_due"] == 3
    assert found["tirefit_letters_failed_day"] == 1
    assert found["tirefit_letters_oldest_due_seconds"] == 300
    assert found["tirefit_days_offered"] == 10
    assert len(seen) <= 10, seen


def test_without_a_queue_it_is_ready_all_the_same_and_says_so(app, client, station, at, monkeypatch, tmp_path):
    booking(station, "10:00")
    at("09:07")

    def told() -> tuple[int, str, str, int]:
        answer = client.get("/health/ready")
        facts = answer.json
        return answer.status_code, facts["status"], facts["redis"], facts["oldest_due_letter_seconds"]

    assert told() == (200, "ok", "ok", 7 * 60)
    with monkeypatch.context() as meanwhile:
        nobody = jobs.queue(jobs.LETTERS, Redis.from_url(f"unix://{tmp_path}/nobody.sock", **jobs.IMPATIENT))
        meanwhile.setitem(app.extensions, "tirefit-doorbell", nobody)
        assert told() == (200, "degraded", "degraded", 7 * 60)
    assert told() == (200, "ok", "ok", 7 * 60)


def test_an_empty_installation_has_figures_too(app, client, watched):
    assert figures(client)["tirefit_days_offered"] == 0


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "let-me-see"}])
def test_nobody_else_sees_them(client, watched, sent):
    assert client.get("/metrics", headers=sent).status_code == 404


def test_without_a_token_set_there_are_none(client):
    assert client.get("/metrics", headers={"Authorization": "Bearer None"}).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_every_answer_names_its_request_and_so_does_the_log(client, station, caplog):
    caplog.set_level(logging.INFO, "tirefit.requests")
    token = new_token()

    answer = client.get(f"/b/{token}?d=2026-11-02", headers={"X-Request-ID": "from-the-proxy-1"})
    other = client.get("/", headers={"X-Request-ID": "no\x00 <script>"[:4] + " spaces are not kept"})

    assert answer.headers["X-Request-ID"] == "from-the-proxy-1"
    assert re.fullmatch("[0-9a-f]{16}", other.headers["X-Request-ID"])
    said = [record for record in caplog.records if record.name == "tirefit.requests"]
    assert [(record.route, record.status) for record in said] == [("GET /b/<token:token>", 410), ("GET /", 302)]
    assert token not in caplog.text


def test_signing_in_leaves_a_line_and_no_secret(client, station, olga, caplog):
    caplog.set_level(logging.INFO, "tirefit.security")

    client.post("/login", data={"email": "olga@example.com", "password": "не тот пароль"})
    client.post("/login", data={"email": "olga@example.com", "password": PASSWORD})
    client.get("/admin/queue")

    said = [record.getMessage() for record in caplog.records if record.name == "tirefit.security"]
    assert said == ["refused: POST /login 422", f"user {olga.id} signed in", "refused: GET /admin/queue 403"]
    assert not re.search("olga|парол|болтов", caplog.text)


def test_a_statement_that_fails_is_told_of_without_what_was_filled_in(app):
    wrong = text("SELECT no_such_column FROM bookings WHERE customer_phone = :phone")
    with pytest.raises(DBAPIError) as failed:
        db.session.execute(wrong, {"phone": "+380671234567"})

    assert "no_such_column" in str(failed.value) and "671234567" not in str(failed.value)


def test_as_json_each_line_is_one_object(app: Flask):
    with app.test_request_context("/"):
        app.preprocess_request()
        record = logging.LogRecord("tirefit", logging.ERROR, __file__, 1, "сломалось: %s", ("ось",), None)
        logs._name_the_request(record)
        line = json.loads(logs.JsonLines().format(record))
        assert line["message"] == "сломалось: ось"
        assert line["request"] == logs.request_id() != ""
        assert (line["level"], line["logger"]) == ("error", "tirefit")
