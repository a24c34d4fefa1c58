"""What each post can take, where holds come from, and a memory of every change of a schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    # The check stands at the column: so SQLite adds and drops it without rebuilding the table.
    wheel = sa.CheckConstraint("largest_wheel BETWEEN 8 AND 40", name="largest_wheel")
    op.add_column("service_posts", sa.Column("largest_wheel", sa.Integer, wheel))
    op.create_table("post_car_types", of_post(), reference("car_type_id", "car_types.id", primary_key=True))
    op.create_table("post_services", of_post(), reference("service_id", "services.id", primary_key=True))
    op.add_column("reservations", sa.Column("origin", sa.Text))
    some = sa.text("origin IS NOT NULL")
    op.create_index("ix_reservations_origin", "reservations", ["origin"], postgresql_where=some, sqlite_where=some)
    op.create_table(
        "schedule_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        reference("service_point_id", "service_points.id"),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="RESTRICT")),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.JSON, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        *(count(name, 0) for name in ("kept", "added", "removed", "outside")),
        *(count(name, 1) for name in ("total", "done")),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("finished_at", instant),
        sa.Column("undone_at", instant),
        sa.CheckConstraint("kind IN ('post', 'template', 'exception', 'rolling')", name="kind"),
        sa.CheckConstraint("(kind = 'rolling') = (service_point_id IS NULL)", name="rolling_is_the_networks"),
    )
    op.create_index("ix_schedule_runs_service_point_id_id", "schedule_runs", ["service_point_id", "id"])


def downgrade():
    op.drop_table("schedule_runs")
    op.drop_index("ix_reservations_origin", "reservations")
    op.drop_column("reservations", "origin")
    op.drop_table("post_services")
    op.drop_table("post_car_types")
    op.drop_column("service_posts", "largest_wheel")


def of_post():
    return reference("service_post_id", "service_posts.id", primary_key=True)


def reference(column, target, primary_key=False):
    return sa.Column(
        column, sa.Integer, sa.ForeignKey(target, ondelete="CASCADE"), primary_key=primary_key, autoincrement=False
    )


def count(column, default):
    return sa.Column(column, sa.Integer, nullable=False, server_default=str(default))
