"""An organization closes: asked for, its usage ended, its last invoices, settled."""
