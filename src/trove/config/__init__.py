"""Options of trove.conf. Imported by `trove.cmd` only: everything below gets plain values."""
