"""Images of the local cloud: read-only directories with one version of a database server and all it needs, and no more."""
