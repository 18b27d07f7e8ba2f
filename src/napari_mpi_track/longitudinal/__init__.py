"""From many days to curves."""
