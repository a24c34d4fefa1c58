"""What has come from the old system: which row became what, and which could not."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tirefit.database import Base


class ImportedRow(Base):
    """A row of the old system that has been dealt with: written (`new_id`), or put on the list for the manager."""

    __tablename__ = "imported_rows"
    __table_args__ = (
        UniqueConstraint("kind", "old_id"),
        CheckConstraint("state IN ('written', 'clash', 'unplaced')", name="state"),
        CheckConstraint("(state = 'written') = (new_id IS NOT NULL)", name="written_has_become_something"),
        Index("ix_imported_rows_service_point_id", "service_point_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]  # the old table
    old_id: Mapped[str]
    new_id: Mapped[int | None]
    state: Mapped[str]
    reason: Mapped[str] = mapped_column(default="", server_default="")
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")  # what people must know of it
    settled_at: Mapped[datetime | None]  # somebody has seen to it
