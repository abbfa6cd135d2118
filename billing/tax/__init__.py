"""Tax: how VAT applies, what proves a supply, and tax invoices (세금계산서) through a provider."""
