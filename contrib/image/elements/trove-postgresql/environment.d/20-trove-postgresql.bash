# A server has those of the versions before it beside it: pg_upgrade runs them on the data that it upgrades.
case $TROVE_VERSION in
    15) servers="15" ;;
    17) servers="17 15" ;;
    *) servers="$TROVE_VERSION 17 15" ;;
esac
for server in $servers; do
    TROVE_GUEST_PACKAGES+=" postgresql-$server"
done
export TROVE_GUEST_PACKAGES
export TROVE_PROGRAM=/usr/lib/postgresql/$TROVE_VERSION/bin/postgres
export TROVE_MASKED_UNITS="postgresql.service postgresql@.service"
export TROVE_EMPTY_DIRECTORIES="/var/lib/postgresql /etc/postgresql /var/log/postgresql"
