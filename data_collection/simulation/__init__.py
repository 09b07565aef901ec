"""Simulated sources: what the archive and the exchange would serve, made here."""
