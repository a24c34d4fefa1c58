"""Every text is there in every language, and every refusal has its words."""

import runpy
from pathlib import Path

import pytest
from flask_babel import force_locale

import tirefit.errors
from tirefit import create_app, i18n
from tirefit.errors import Problem

ROOT = Path(__file__).resolve().parent.parent.parent


def test_no_text_is_missing_in_any_language(capsys):
    script = runpy.run_path(str(ROOT / "scripts" / "translations.py"))
    assert script["main"]("check") == 0, capsys.readouterr().out


def test_a_catalogue_counts_as_its_language_does():
    words = i18n.read_catalogue("ru").ungettext
    said = [words("%(num)s место", "%(num)s мест", n) % {"num": n} for n in (1, 2, 5, 11, 21, 22)]
    assert said == ["1 место", "2 места", "5 мест", "11 мест", "21 место", "22 места"]


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """The program without its database: words need none."""
    return create_app(INSTANCE_PATH=str(tmp_path_factory.mktemp("instance")), TESTING=True)


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_refusal_has_its_words(templates, language):
    """What happened, and what to do now; in Ukrainian and English not in Russian."""
    problems = [each for each in vars(tirefit.errors).values() if isinstance(each, type) and issubclass(each, Problem)]
    assert len(problems) > 15
    with templates.test_request_context(), force_locale(language):
        words = templates.jinja_env.get_template("errors/_problems.html").module
        for problem in problems:
            if problem is Problem:
                continue
            assert words.say(problem()).strip(), problem.code
            assert words.explain(problem()).strip(), problem.code
