"""The people an edition goes to: who they are, what they asked for, how they leave. Never imports the press."""
