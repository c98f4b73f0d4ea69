"""The client of the service: sends photographs, and reads verdicts."""
