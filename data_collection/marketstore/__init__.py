"""MarketStore's protocol over our own store: endpoint, feeder, clients, writer."""
