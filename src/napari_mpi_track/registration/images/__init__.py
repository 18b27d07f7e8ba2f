"""Alignment by what two images share: the search over poses, the metric, deformation and verdict."""
