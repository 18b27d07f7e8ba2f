"""From volumes and organ labels to files."""
