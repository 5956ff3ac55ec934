"""What speaks for a story, one file each: `score(candidate, *, now, rules) -> Score`, 0 to 1 with a reason in words."""
