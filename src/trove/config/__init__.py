"""oslo.config options, one file a group; imported by cmd only."""
