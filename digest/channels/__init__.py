"""How an edition reads: one file is one channel."""
