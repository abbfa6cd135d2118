"""A provider of tax invoices with Popbill's shapes, and the tax office's look-up of businesses: one process, its own book.

The walk of a call: `api` authenticates it and plays a fault or not, `checks` reads the sheet as a provider would, `book` keeps it
under its document number, once. `/sandbox/book` is what a test compares our tax invoices with.
"""
