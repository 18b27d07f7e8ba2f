"""What a scan is and where it lies."""
