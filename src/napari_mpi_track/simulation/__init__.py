"""Animals, scanners and studies of known truth."""
