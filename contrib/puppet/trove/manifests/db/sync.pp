# @summary Bring the tables of the state database up to date; before the services start, and only when they are not.
#
# @param db_sync_timeout Seconds it may take.
class trove::db::sync (
  Integer[1] $db_sync_timeout = 300,
) {
  include trove
  include trove::db

  $manage = "${trove::bin_dir}/trove-manage"
  $newest = 'import json, sys; state = json.load(sys.stdin); sys.exit(state["revision"] != state["head"])'

  exec { 'trove-manage-db-upgrade':
    command   => "${manage} db upgrade",
    unless    => "${manage} --json db current | python3 -c '${newest}'",
    provider  => shell,
    path      => [$trove::bin_dir, '/usr/bin', '/bin'],
    cwd       => '/',
    user      => $trove::params::user,
    timeout   => $db_sync_timeout,
    tries     => 5,
    try_sleep => 3,
    logoutput => on_failure,
    require   => Anchor['trove::dbsync::begin'],
    notify    => Anchor['trove::dbsync::end'],
  }
}
