"""Moving in from the old system: its database or its CSV export is read, planned, shown, and then written.

The plan says of every old row what becomes of it; the dry run shows it, the real run writes it. What has been written
is remembered row by row, so that a run that was stopped goes on, and a second one does nothing.
"""
