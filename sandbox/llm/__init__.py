"""An OpenAI- and OpenRouter-compatible upstream that answers at once, bills like OpenRouter, and fails on order.

The walk of a call: `connection` reads it, `routes` and `serving` take it, `planning` decides the answer and its token
counts, `rendering` writes OpenAI's shapes, `sending` sends them (or plays a fault) and closes the entry in the `bill`.
"""
