"""The outbox: which mails there are, what each says, whose turn it is, who cannot be reached. `billing/delivery.py` sends them."""
