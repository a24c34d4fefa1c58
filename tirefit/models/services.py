"""What stations do, for which cars, in how many minutes and for how much."""

from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base

Names = dict[str, Any]  # language → words: {"ru": "Балансировка", "uk": "Балансування", "en": "Balancing"}


class CarType(Base):
    """A kind of car (легковая, кроссовер, …). `code` also names its picture."""

    __tablename__ = "car_types"
    __table_args__ = (CheckConstraint("duration_factor BETWEEN 10 AND 1000", name="duration_factor"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    names: Mapped[Names] = mapped_column(JSON)
    duration_factor: Mapped[int] = mapped_column(default=100, server_default="100")  # percent of base minutes
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    active: Mapped[bool] = mapped_column(default=True, server_default="1")


class ServiceCategory(Base):
    __tablename__ = "service_categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    names: Mapped[Names] = mapped_column(JSON)
    position: Mapped[int] = mapped_column(default=0, server_default="0")


class Service(Base):
    """A job the network knows how to do. A station offers it, or not (ServicePointService)."""

    __tablename__ = "services"
    __table_args__ = (CheckConstraint("base_duration BETWEEN 5 AND 480", name="base_duration"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int | None] = mapped_column(ForeignKey("service_categories.id", ondelete="RESTRICT"))
    names: Mapped[Names] = mapped_column(JSON)
    descriptions: Mapped[Names] = mapped_column(JSON, default=dict, server_default="{}")
    base_duration: Mapped[int]  # minutes, for a car of factor 100
    active: Mapped[bool] = mapped_column(default=True, server_default="1")

    category: Mapped[ServiceCategory | None] = relationship()
    durations: Mapped[list["ServiceDuration"]] = relationship(passive_deletes="all")

    def duration_for_car_type(self, car_type: CarType) -> int:
        """Minutes of this service on such a car: as agreed, else base × the factor of the car, rounded up to 5."""
        exact = next((d.minutes for d in self.durations if d.car_type_id == car_type.id), None)
        return exact if exact is not None else -(-self.base_duration * car_type.duration_factor // 500) * 5


class ServiceDuration(Base):
    """Exact minutes of a service on a type of car, where base × factor is not right."""

    __tablename__ = "service_durations"
    __table_args__ = (CheckConstraint("minutes BETWEEN 5 AND 480", name="minutes"),)

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"), primary_key=True)
    car_type_id: Mapped[int] = mapped_column(ForeignKey("car_types.id", ondelete="CASCADE"), primary_key=True)
    minutes: Mapped[int]


class ServicePointService(Base):
    """A station offers a service. The one with the lowest position stands first, and is chosen in advance."""

    __tablename__ = "service_point_services"

    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(default=0, server_default="0")

    service: Mapped[Service] = relationship()


class ServicePrice(Base):
    """What a service costs at a station on a type of car, in minor units. No price: not done on such a car.

    `minutes` are the station's own; None: as long as the network says.
    """

    __tablename__ = "service_prices"
    __table_args__ = (
        UniqueConstraint("service_point_id", "service_id", "car_type_id"),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("minutes BETWEEN 5 AND 480", name="minutes"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    service_id: Mapped[int] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"))
    car_type_id: Mapped[int] = mapped_column(ForeignKey("car_types.id", ondelete="CASCADE"))
    amount: Mapped[int]
    minutes: Mapped[int | None]


class WheelSurcharge(Base):
    """At a station, wheels from this size on take longer: minutes on top of the whole visit.

    A station with none does not ask for the size.
    """

    __tablename__ = "wheel_surcharges"
    __table_args__ = (
        CheckConstraint("from_inches BETWEEN 8 AND 40", name="from_inches"),
        CheckConstraint("minutes BETWEEN 0 AND 240", name="minutes"),
    )

    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True)
    from_inches: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    minutes: Mapped[int]
