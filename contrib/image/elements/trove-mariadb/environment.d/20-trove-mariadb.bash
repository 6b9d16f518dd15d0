# The scripts of Galera's state transfer are in mariadb-server, whose own service never starts here.
export TROVE_GUEST_PACKAGES+=" mariadb-server mariadb-client-core mariadb-backup galera-4 socat"
export TROVE_PROGRAM=/usr/sbin/mariadbd
export TROVE_MASKED_UNITS="mariadb.service mariadb@.service mysql.service"
export TROVE_EMPTY_DIRECTORIES="/var/lib/mysql /var/log/mysql"
