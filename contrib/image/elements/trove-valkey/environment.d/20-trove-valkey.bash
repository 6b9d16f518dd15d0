export TROVE_GUEST_PACKAGES+=" valkey-server valkey-tools"
export TROVE_PROGRAM=/usr/bin/valkey-server
export TROVE_MASKED_UNITS="valkey-server.service valkey-server@.service"
export TROVE_EMPTY_DIRECTORIES="/var/lib/valkey /var/log/valkey"
