"""From a scan and its organs to cells."""
