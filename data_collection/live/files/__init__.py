"""The files that strategies read: their names, their columns, and when they are ready."""
