"""The archive's words: markets, data types, symbols, periods, files and dates."""
