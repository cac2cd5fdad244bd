"""From a stable CSV to a decision: the steps of a run, the ledger, and the values they hand on."""
