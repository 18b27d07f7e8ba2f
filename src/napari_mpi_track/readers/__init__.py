"""From files to volumes and organ labels."""
