# @summary trove-guestagent, in an image of instances. Its identity and its credentials come from the cloud at the first boot.
#
# @param manage_service Whether Puppet enables it.
# @param enabled Whether it starts when the instance boots.
# @param running Whether it runs now; not while an image is made.
# @param debug Log more.
# @param log_file File of its log instead of the journal.
# @param use_json Log as JSON.
class trove::guestagent (
  Boolean $manage_service                  = true,
  Boolean $enabled                         = true,
  Boolean $running                         = false,
  Optional[Boolean] $debug                 = undef,
  Optional[Stdlib::Absolutepath] $log_file = undef,
  Optional[Boolean] $use_json              = undef,
) {
  include trove
  include trove::deps

  file { '/etc/trove/conf.d':
    ensure  => directory,
    owner   => 'root',
    group   => 'root',
    mode    => '0700',
    require => Anchor['trove::config::begin'],
    before  => Anchor['trove::config::end'],
  }

  $values = {
    'DEFAULT/debug'    => $debug,
    'DEFAULT/log_file' => $log_file,
    'DEFAULT/log_json' => $use_json,
  }
  $values.each |$name, $value| {
    trove_guestagent_config { $name:
      ensure => bool2str($value =~ Undef, 'absent', 'present'),
      value  => trove::oslo_value($value),
    }
  }

  trove::service { 'trove-guestagent':
    manage_service => $manage_service,
    enabled        => $enabled,
    running        => $running,
  }
}
