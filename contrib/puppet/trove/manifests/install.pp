# @summary The software, its user and its directories. Declared by `trove`.
#
# @api private
class trove::install {
  assert_private()
  include trove::params
  include trove::deps

  $user = $trove::params::user
  $group = $trove::params::group

  Anchor['trove::install::begin']
  -> Class['trove::install']
  -> Anchor['trove::install::end']

  if $trove::manage_user {
    group { $group:
      ensure => present,
      system => true,
    }
    user { $user:
      ensure     => present,
      system     => true,
      gid        => $group,
      home       => $trove::params::state_dir,
      managehome => false,
      shell      => '/usr/sbin/nologin',
      comment    => 'Trove',
    }
    User[$user] -> File[$trove::params::config_dir, $trove::params::state_dir, $trove::params::log_dir]
  }

  # Only root changes what the services read; they read it as their group.
  file { [$trove::params::config_dir, "${trove::params::config_dir}/cloudinit", "${trove::params::config_dir}/policy.d"]:
    ensure => directory,
    owner  => 'root',
    group  => $group,
    mode   => '0750',
  }
  file { $trove::params::state_dir:
    ensure => directory,
    owner  => $user,
    group  => $group,
    mode   => '0700',
  }
  file { $trove::params::log_dir:
    ensure => directory,
    owner  => $user,
    group  => $group,
    mode   => '0750',
  }

  case $trove::install_method {
    'venv': { contain trove::install::venv }
    'package': {
      package { $trove::package_name:
        ensure => $trove::package_ensure,
        source => $trove::package_source,
        notify => Anchor['trove::install::end'],
      }
    }
    default: {}
  }
}
