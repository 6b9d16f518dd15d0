"""Oracle's MySQL and builds of it, such as Percona Server: what they share beyond their family."""
