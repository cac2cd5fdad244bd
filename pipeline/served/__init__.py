"""What was served and what came of it: `serving.db`, beside the ledger.

All SQL over it is here. The serving process alone writes it; runs and `status` read it.
"""
