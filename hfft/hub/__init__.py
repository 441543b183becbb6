"""The hub: requests that are repeated or given up, and their errors in one line."""
