"""Who moves the money: one interface, an adapter for each payment processor."""
