"""Where stories come from: one file is one kind of source."""
