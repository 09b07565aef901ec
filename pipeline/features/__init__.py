"""Every column of the wide table: what it is, and how it is computed."""
