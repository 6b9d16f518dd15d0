# @summary The file of the keys that seal secrets in the state database. Declared by `trove`.
#
# @api private
class trove::keys {
  assert_private()
  include trove::params
  include trove::deps

  $path = $trove::params::key_file
  $given = $trove::secret_keys ? {
    Sensitive => $trove::secret_keys.unwrap,
    default   => $trove::secret_keys,
  }

  if $given {
    $content = Sensitive("${join($given, "\n")}\n")
  } else {
    $content = undef
    # A Fernet key: 32 random bytes in the alphabet of URLs.
    exec { 'trove-secret-key':
      command  => "umask 077; head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_' > '${path}.new' && mv '${path}.new' '${path}'",
      creates  => $path,
      provider => shell,
      path     => ['/usr/bin', '/bin'],
      require  => Anchor['trove::config::begin'],
      before   => File[$path],
    }
  }

  # The services refuse a key file that anybody else may read.
  file { $path:
    ensure    => file,
    owner     => $trove::params::user,
    group     => $trove::params::group,
    mode      => '0600',
    content   => $content,
    show_diff => false,
    backup    => false,
    require   => Anchor['trove::config::begin'],
    before    => Anchor['trove::config::end'],
    notify    => Anchor['trove::service::begin'],
  }
}
