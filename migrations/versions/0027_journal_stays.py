"""What the journal says is never altered; only whose visit it was may be forgotten."""

from alembic import op

revision = "0027"
down_revision = "0026"

NOBODYS = """EXISTS (SELECT 1 FROM bookings b WHERE b.id = OLD.booking_id
    AND b.customer_name = '' AND b.customer_phone = '' AND b.customer_email IS NULL AND b.plate = '')"""
SAME = " AND ".join(
    f"NEW.{name} {{same}} OLD.{name}" for name in ("id", "booking_id", "at", "actor", "user_id", "event")
)


def upgrade():
    if op.get_bind().dialect.name == "sqlite":
        op.execute("""CREATE TRIGGER audit_entries_stay BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'audit_entries_stay'); END""")
        op.execute(f"""CREATE TRIGGER booking_events_stay BEFORE UPDATE ON booking_events
WHEN NOT ({SAME.format(same="IS")} AND {NOBODYS})
BEGIN SELECT RAISE(ABORT, 'booking_events_stay'); END""")
        return
    op.execute("""CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit_entries_stay'; END $$""")
    op.execute("""CREATE TRIGGER audit_entries_stay BEFORE UPDATE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION audit_entries_stay()""")
    op.execute(f"""CREATE FUNCTION booking_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
IF NOT ({SAME.format(same="IS NOT DISTINCT FROM")} AND {NOBODYS}) THEN RAISE EXCEPTION 'booking_events_stay'; END IF;
RETURN NEW;
END $$""")
    op.execute("""CREATE TRIGGER booking_events_stay BEFORE UPDATE ON booking_events
FOR EACH ROW EXECUTE FUNCTION booking_events_stay()""")


def downgrade():
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER booking_events_stay")
        op.execute("DROP TRIGGER audit_entries_stay")
        return
    op.execute("DROP TRIGGER booking_events_stay ON booking_events")
    op.execute("DROP FUNCTION booking_events_stay()")
    op.execute("DROP TRIGGER audit_entries_stay ON audit_entries")
    op.execute("DROP FUNCTION audit_entries_stay()")
