"""What stations do, for which cars, in how many minutes and for how much."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade():
    op.create_table(
        "car_types",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.Text, nullable=False, unique=True),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("duration_factor", sa.Integer, nullable=False, server_default="100"),
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
        sa.Column("active", sa.Boolean, nullable=False, server_default="1"),
        sa.CheckConstraint("duration_factor BETWEEN 10 AND 1000", name="duration_factor"),
    )
    op.create_table(
        "service_categories",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "services",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("category_id", sa.Integer, sa.ForeignKey("service_categories.id", ondelete="RESTRICT")),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("descriptions", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("base_duration", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False, server_default="1"),
        sa.CheckConstraint("base_duration BETWEEN 5 AND 480", name="base_duration"),
    )
    op.create_table(
        "service_durations",
        sa.Column("service_id", sa.Integer, sa.ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("car_type_id", sa.Integer, sa.ForeignKey("car_types.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.CheckConstraint("minutes BETWEEN 5 AND 480", name="minutes"),
    )
    op.create_table(
        "service_point_services",
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("service_id", sa.Integer, sa.ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "service_prices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("service_id", sa.Integer, sa.ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
        sa.Column("car_type_id", sa.Integer, sa.ForeignKey("car_types.id", ondelete="CASCADE"), nullable=False),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.UniqueConstraint("service_point_id", "service_id", "car_type_id"),
        sa.CheckConstraint("amount >= 0", name="amount"),
    )


def downgrade():
    op.drop_table("service_prices")
    op.drop_table("service_point_services")
    op.drop_table("service_durations")
    op.drop_table("services")
    op.drop_table("service_categories")
    op.drop_table("car_types")
