"""What answers over HTTP: providers' hooks, readers' pages. A part is one file with `router(press, clock)`."""
