"""Commands to try things with: a simulated archive, its server, single files."""
