"""A Stripe-compatible payment processor: test cards, hosted pages, idempotency, signed webhooks, its own ledger.

The walk of a call: `api` authenticates it, plays a fault or not and asks `idempotency` for an earlier answer; `forms` reads
its parameters; a module named after the resource does the work on the `books` in one transaction, leaving events that
`webhooks` delivers. `hosted` is where the customer types a card; `ledger` is what a test compares our books with.
"""
