"""The tables that users load: hourly layers, a symbol's table, the wide table, training sets."""
