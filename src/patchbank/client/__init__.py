"""A client of the service: inspect photographs over HTTP, with retries that inspect once."""
