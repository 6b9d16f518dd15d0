"""One composition root per executable: reads configuration and picks the real adapters."""
