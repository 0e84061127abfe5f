"""The ledger: identities of the course (being assembled)."""
