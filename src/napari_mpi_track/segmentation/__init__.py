"""From a volume to organ labels."""
