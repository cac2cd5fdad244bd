"""What people read: the HTML report, built from the ledger."""
