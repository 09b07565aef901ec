"""From the layers on disk to a report: look at every symbol, judge all together, show it."""
