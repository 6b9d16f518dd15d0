"""What MariaDB, MySQL and the builds of MySQL share: their SQL, option files, names and logs."""
