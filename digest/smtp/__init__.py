"""Our own SMTP client: it always knows how far a message has come, so it knows what became of it."""
