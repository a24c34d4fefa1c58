"""The table of services × cars as people write it: minutes and price in each cell, nothing where it is not done."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from babel.numbers import get_currency_precision
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import ValidationError

from tirefit.booking.catalogue import DEAREST, LONGEST, SHORTEST, Cell, CellId, Matrix
from tirefit.models import ServicePoint
from tirefit.web.filters import amount
from tirefit.web.forms.manage import Line
from tirefit.web.forms.text import fit

LONGEST_TYPED = 12


@dataclass
class Typed:
    """One cell: what is typed in it, what the page showed, and what is wrong with it."""

    minutes: str
    price: str
    was: Cell | None
    error: Any = None
    fits: tuple[int, ...] | None = None  # numbers of the posts it fits; None: nothing to say

    @property
    def is_empty(self) -> bool:
        return not self.minutes and not self.price

    @property
    def shown(self) -> str:
        """What the page shows, for the page to send back."""
        return f"{self.was.minutes} {self.was.price}" if self.was else ""


class MatrixForm(FlaskForm):
    """Not fields of WTForms but a table: `cells[service_id, car_type_id]`. Only cells that the station has are read."""

    def __init__(self, point: ServicePoint, matrix: Matrix, sent: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point, self.matrix = point, matrix
        self.cells = {
            (row.service.id, car.id): self._read(row.on.get(car.id), f"{row.service.id}-{car.id}", sent)
            for row in matrix.rows
            for car in matrix.cars
        }
        self._look_at_posts()

    def check(self, *only: CellId) -> bool:
        """Can all of it (or these cells) be kept?"""
        for id in only or self.cells:
            self._cell_of(id)
        return not any(self.cells[id].error for id in only or self.cells)

    def changes(self, *only: CellId) -> dict[CellId, tuple[Cell | None, Cell | None]]:
        """Of a form that has been checked: what the page showed, and what it shall be."""
        return {id: (self.cells[id].was, self._cell_of(id)) for id in only or self.cells}

    def fill(self, car_type_id: int, more: int) -> None:
        """Add so many minutes to everything that is done on this type of car."""
        for (_service, car), typed in self.cells.items():
            if car == car_type_id and typed.minutes.isdecimal():
                typed.minutes = str(max(SHORTEST, min(LONGEST, int(typed.minutes) + more)))
        self._look_at_posts()

    def show_now(self, now: dict[CellId, Cell | None]) -> None:
        """Somebody else has changed these cells: what they are now stands beside what was typed."""
        for id, cell in now.items():
            typed = self.cells[id]
            typed.was = cell
            words = _("сейчас %(cell)s", cell=self.words(cell))
            typed.error = words

    def words(self, cell: Cell | None) -> str:
        return f"{cell.minutes} · {amount(cell.price, self.point.currency)}" if cell else "—"

    def _read(self, now: Cell | None, name: str, sent: Any) -> Typed:
        if sent is None or f"w-{name}" not in sent:
            return Typed(str(now.minutes) if now else "", self._typed_price(now), now)
        minutes, price = ((fit(sent.get(f"{kind}-{name}", "")[: LONGEST_TYPED + 1]) or "") for kind in "mp")
        return Typed(minutes, price, _shown(sent.get(f"w-{name}", "")))

    def _typed_price(self, cell: Cell | None) -> str:
        return str(amount(cell.price, self.point.currency)) if cell else ""

    def _cell_of(self, id: CellId) -> Cell | None:
        typed = self.cells[id]
        if typed.is_empty or (typed.minutes, typed.price) == ("—", ""):
            return None
        minutes = int(typed.minutes) if re.fullmatch(r"[0-9]{1,4}", typed.minutes) else 0
        price = self._price_of(typed.price)
        if not SHORTEST <= minutes <= LONGEST:
            typed.error = _("минуты от %(low)s до %(high)s", low=SHORTEST, high=LONGEST)
        elif price is None:
            typed.error = _("укажите цену числом")
        return Cell(minutes, price or 0)

    def _price_of(self, text: str) -> int | None:
        digits = get_currency_precision(self.point.currency)
        try:
            typed = Decimal(re.sub(r"\s", "", text).replace(",", "."))
        except InvalidOperation:
            return None
        if not typed.is_finite() or typed < 0 or -typed.as_tuple().exponent > digits:  # type: ignore[operator]
            return None
        minor = int(typed * 10**digits)
        return minor if minor <= DEAREST else None

    def _look_at_posts(self) -> None:
        """A dot where minutes fit no post of the station, or only one of several."""
        for (service_id, car_type_id), typed in self.cells.items():
            typed.fits = None
            if typed.minutes.isdecimal() and len(typed.minutes) <= 4 and self.matrix.posts:
                fits = tuple(self.matrix.fitting(service_id, car_type_id, int(typed.minutes)))
                if len(fits) == 0 or (len(fits) == 1 and len(self.matrix.posts) > 1):
                    typed.fits = fits


def _shown(text: str) -> Cell | None:
    found = re.fullmatch(r"([0-9]{1,4}) ([0-9]{1,10})", text)
    return Cell(int(found[1]), int(found[2])) if found else None


class ServiceForm(FlaskForm):
    """A service that the station begins to do."""

    name = Line(_l("Название услуги"), 80)
    category = Line(_l("Группа"), 60)

    def validate_name(self, field: Line) -> None:
        if not field.data:
            raise ValidationError(_l("Введите название"))


class CarTypeForm(FlaskForm):
    car = Line(_l("Тип машины"), 40)

    def validate_car(self, field: Line) -> None:
        if not field.data:
            raise ValidationError(_l("Введите название"))
