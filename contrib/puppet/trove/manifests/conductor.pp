# @summary trove-conductor, which stores what guest agents report.
#
# @param manage_service Whether Puppet starts, stops and restarts it.
# @param enabled Whether it is to run.
# @param max_batch Most reports stored in one transaction.
# @param max_wait Seconds to gather reports for one transaction.
class trove::conductor (
  Boolean $manage_service         = true,
  Boolean $enabled                = true,
  Optional[Integer[1]] $max_batch = undef,
  Optional[Numeric] $max_wait     = undef,
) {
  include trove
  include trove::db

  trove::options { 'trove-conductor':
    service => 'trove-conductor',
    values  => {
      'conductor/max_batch' => $max_batch,
      'conductor/max_wait'  => $max_wait,
    },
  }

  trove::service { 'trove-conductor':
    manage_service => $manage_service,
    enabled        => $enabled,
  }
}
