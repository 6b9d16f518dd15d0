# @summary The software from a wheel, or from a package index, in a Python environment of its own.
#
# @api private
class trove::install::venv {
  assert_private()

  $venv = $trove::venv_dir
  $pip = "${venv}/bin/pip"
  $options = join(['install', '--disable-pip-version-check', '--no-input', '--quiet'] + $trove::pip_options, ' ')

  $base = $trove::package_source ? {
    undef   => $trove::package_name,
    default => $trove::package_source,
  }
  $extras = $trove::extras ? {
    []      => '',
    default => "[${join($trove::extras, ',')}]",
  }
  $version = $trove::package_ensure ? {
    'present' => '',
    default   => "==${trove::package_ensure}",
  }
  if $trove::package_ensure in ['latest', 'absent', 'purged'] {
    fail("trove::package_ensure: with install_method venv it is 'present' or a version, not '${trove::package_ensure}'")
  }
  if $trove::package_source and $version != '' {
    fail('trove::package_ensure: package_source decides on the version; leave this at present')
  }

  # What is installed is noted beside it: the requirement, and what a wheel on this machine holds.
  $requirement = "${base}${extras}${version}"
  $content = $base ? {
    /\A\//  => "; sha256sum < '${base}'",
    default => '',
  }
  $wanted = "{ echo '${requirement}'${content}; }"
  $noted = "${venv}/.trove-installed"

  unless empty($trove::prerequisites) {
    ensure_packages($trove::prerequisites)
    Package[$trove::prerequisites] -> Exec['trove-venv']
  }

  exec { 'trove-venv':
    command => [$trove::python, '-m', 'venv'] + $trove::venv_options + [$venv],
    creates => $pip,
    timeout => 300,
  }
  # The second command is for a wheel of the same version with other content.
  exec { 'trove-install':
    command  => "${pip} ${options} '${requirement}' && \
${pip} ${options} --no-deps --force-reinstall '${requirement}' && ${wanted} > ${noted}",
    unless   => "${wanted} | cmp -s - ${noted}",
    provider => shell,
    path     => ['/usr/bin', '/bin'],
    timeout  => 1800,
    require  => Exec['trove-venv'],
    notify   => Anchor['trove::install::end'],
  }

  # Commands of operators; services are started from the environment itself.
  ['trove-manage', 'trove-status'].each |$program| {
    file { "/usr/local/bin/${program}":
      ensure  => link,
      target  => "${venv}/bin/${program}",
      require => Exec['trove-install'],
    }
  }
}
