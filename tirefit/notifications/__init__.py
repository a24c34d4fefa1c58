"""Letters: the rows that promise them (outbox), their words (letters, calendar), and the way out (delivery)."""
