# @summary A service: its systemd unit, and whether it runs.
#
# @param manage_service Whether Puppet starts, stops and restarts it. The unit is written in any case.
# @param enabled Whether it is to run, now and after a boot.
# @param running Whether it is to run now, where that differs from `enabled`.
# @param instances Names of its instances, for a unit that may have several (`trove-taskmanager@1`). Empty: it has none.
# @param writable Directories it writes to beside /var/lib/trove; its unit lets it write nowhere else.
# @param service_provider Puppet's provider of services, if not the usual one of the system.
define trove::service (
  Boolean $manage_service                    = true,
  Boolean $enabled                           = true,
  Boolean $running                           = $enabled,
  Array[Pattern[/\A[\w.-]+\z/]] $instances   = [],
  Array[Stdlib::Absolutepath] $writable      = [],
  Optional[String[1]] $service_provider      = $trove::service_provider,
) {
  include trove
  include trove::deps

  $unit = $instances ? {
    []      => "${title}.service",
    default => "${title}@.service",
  }
  $programs = regsubst(file("trove/${unit}"), '/usr/bin/', "${trove::bin_dir}/", 'G')
  $paths = join(([$trove::params::log_dir] + $writable).map |$each| { "-${each}" }, ' ')
  file { "${trove::params::unit_dir}/${unit}":
    ensure  => file,
    owner   => 'root',
    group   => 'root',
    mode    => '0644',
    content => regsubst($programs, '^(ProtectSystem=strict)$', "\\1\nReadWritePaths=${paths}"),
  }

  if $manage_service {
    $names = $instances ? {
      []      => [$title],
      default => $instances.map |$each| { "${title}@${each}" },
    }
    service { $names:
      ensure    => stdlib::ensure($running, 'service'),
      enable    => $enabled,
      provider  => $service_provider,
      subscribe => File["${trove::params::unit_dir}/${unit}"],
      tag       => 'trove-service',
    }
  }
}
