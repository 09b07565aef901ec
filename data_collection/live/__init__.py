"""The live client: candles of whole markets as they close, kept in files and told on a bus."""
