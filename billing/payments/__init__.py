"""Attempts to pay: told to a processor from committed rows, asked about until they are known, and heard of by its webhooks."""
