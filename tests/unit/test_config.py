"""Settings: what can only be a mistake stops the start, in one line that says what to change."""

import pytest

from tirefit import config


def load(tmp_path, **settings):
    return config.load(environ={"TIREFIT_INSTANCE_PATH": str(tmp_path)} | settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"TIREFIT_MAIL_SEVER": "smtp.example.com"}, "no setting of TireFit; did you mean TIREFIT_MAIL_SERVER?"),
        ({"TIREFIT_COFFEE": "1"}, "TIREFIT_COFFEE is no setting of TireFit"),
        ({"TIREFIT_SECRET_KEY": "secret"}, "shorter than 32"),
        ({"TIREFIT_SECRET_KEY_FALLBACKS": f"{'k' * 32} secret"}, "FALLBACKS is shorter than 32"),
        ({"PORT": "0"}, "PORT is 0"),
        ({"PORT": "http"}, "whole number"),
        ({"TIREFIT_BASE_URL": "book.example.com"}, "begins with https://"),
        ({"TIREFIT_HTTPS": "1", "TIREFIT_BASE_URL": "http://book.example.com"}, "without the cookies"),
        ({"TIREFIT_BASE_URL": "https://book.example.com"}, "set TIREFIT_HTTPS=1"),
        ({"TIREFIT_METRICS_TOKEN": "CHANGE-ME"}, "as in the example"),
        ({"TIREFIT_HTTPS": "1", "TIREFIT_DEMO": "1"}, "strangers must not find"),
        ({"TIREFIT_HTTPS": "perhaps"}, "it takes 1 or 0"),
        ({"TIREFIT_MAIL_USE_TLS": "1", "TIREFIT_MAIL_USE_SSL": "1"}, "587 and 465"),
        ({"TIREFIT_LOG_FORMAT": "xml"}, "text or json"),
        ({"TIREFIT_RETENTION_DAYS": "-1"}, "0 keeps everybody"),
    ],
)
def test_a_mistake_stops_the_start_in_one_line(tmp_path, settings, said):
    with pytest.raises(SystemExit) as stopped:
        load(tmp_path, **settings)

    assert said in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_what_makes_sense_starts(tmp_path):
    found = load(
        tmp_path,
        TIREFIT_HTTPS="1",
        TIREFIT_BASE_URL="https://book.example.com/",
        TIREFIT_SECRET_KEY="k" * 32,
        TIREFIT_SECRET_KEY_FALLBACKS=f"{'i' * 32} {'j' * 32}",
        TIREFIT_TRIALS="1",
        DATABASE_URL="postgres://tirefit@db/tirefit",
    )

    assert found["BASE_URL"] == "https://book.example.com"
    assert config.keys(found) == ["i" * 32, "j" * 32, "k" * 32], "the last one signs"
    assert found["DATABASE_URL"] == "postgresql+psycopg://tirefit@db/tirefit"


def test_without_a_key_one_is_made_and_kept_for_the_owner_alone(tmp_path):
    first, second = load(tmp_path)["SECRET_KEY"], load(tmp_path)["SECRET_KEY"]

    assert first == second and len(first) >= config.SHORTEST_KEY
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
