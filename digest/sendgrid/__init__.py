"""SendGrid's API, version 3: what is said to it, what it may not be told, how it is asked, and what its answers mean."""
