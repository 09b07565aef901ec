"""The live exchange: facts as data, clock, weight governor, REST client and its fetchers."""
