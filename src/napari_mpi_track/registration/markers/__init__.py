"""Alignment by fiducials: found as blobs, paired by their distances, brought together in closed form."""
