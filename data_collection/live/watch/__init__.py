"""How the client is doing: alerts, metrics, the status screen, the exchange's clock."""
