"""The service: photographs come in, each verdict is on record before it is answered."""
