"""What makes a story matter: one file is one signal, 0 to 1, with the words an editor reads."""
