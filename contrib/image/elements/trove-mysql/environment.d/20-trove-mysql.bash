# MySQL itself is in Debian's suite sid alone. These packages have no service and no database.
export TROVE_GUEST_PACKAGES+=" mysql-server-core mysql-client-core"
export TROVE_PROGRAM=/usr/sbin/mysqld
export TROVE_MASKED_UNITS="mysql.service"
export TROVE_EMPTY_DIRECTORIES="/var/lib/mysql /var/log/mysql"
