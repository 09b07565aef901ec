"""The live client: candles of a whole market kept in files, recorded and told as they close."""
