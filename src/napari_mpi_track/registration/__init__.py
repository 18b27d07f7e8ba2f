"""From two volumes to an alignment: a transform and the evidence for it."""
