"""Compares rows, cloud, bus and guests' reports, and repairs or faults what disagrees: one file a finding."""
