"""Figures of this tree, printed as ratios measured in one run: `make bench`."""
