"""From the period to the invoice: estimates, and after the month's end documents, delivery and collection."""
