"""Who brings tax invoices to the tax office: one interface, an adapter for each provider."""
