"""How a message leaves: one file is one transport."""
