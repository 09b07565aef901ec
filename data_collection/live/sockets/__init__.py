"""Streams of the exchange: routes, connections that are replaced before they break, watchdogs."""
