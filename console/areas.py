"""All areas of the console: importing them puts their lists, details and pages on the site."""

from console import (
    applied_rates,
    audit,
    catalog,
    credit_deed,
    exchange_rates,
    invoice_deeds,
    invoices,
    listing,
    mails,
    markups,
    money,
    organizations,
    prices,
    standing,
    usage,
)
from console.site import site

__all__ = [
    "applied_rates",
    "audit",
    "catalog",
    "credit_deed",
    "exchange_rates",
    "invoice_deeds",
    "invoices",
    "listing",
    "mails",
    "markups",
    "money",
    "organizations",
    "prices",
    "site",
    "standing",
    "usage",
]
