"""Stand-ins for what InvoiceDream talks to: the upstream LLM, the mailbox, the payment processor.

Each runs as a process of its own (`python -m sandbox.llm`, `.mailbox`, `.payments`), imports nothing of the project,
and nothing of the project imports it. See README.md for flags, endpoints and faults.
"""
