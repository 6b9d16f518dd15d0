export TROVE_GUEST_PACKAGES+=" redis-server redis-tools"
export TROVE_PROGRAM=/usr/bin/redis-server
export TROVE_MASKED_UNITS="redis-server.service redis-server@.service"
export TROVE_EMPTY_DIRECTORIES="/var/lib/redis /var/log/redis"
