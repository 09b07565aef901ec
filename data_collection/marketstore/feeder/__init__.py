"""The feeder: backfill from archive and exchange, then real time over WebSockets."""
