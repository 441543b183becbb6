"""The hub: requests with retries and timeouts, and one-line errors."""
