"""What corrects a final invoice, as new rows: credit notes, refunds, write-offs."""
