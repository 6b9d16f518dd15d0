# @summary Options of trove.conf, and which service reads them.
#
# @param values Values by `section/option`; undef takes an option out of the file.
# @param service Title of the `trove::service` that alone reads them; undef means all.
define trove::options (
  Hash[Pattern[/\A[^\/\s]+\/\S+\z/], Trove::Value] $values,
  Optional[String[1]] $service = undef,
) {
  include trove::deps

  $values.each |$name, $value| {
    trove_config { $name:
      ensure => bool2str($value =~ Undef, 'absent', 'present'),
      value  => trove::oslo_value($value),
      tag    => 'trove-options',
    }
    if $service == undef {
      Trove_config[$name] ~> Anchor['trove::service::begin']
    } else {
      Trove_config[$name] ~> Trove::Service<| title == $service |>
    }
  }
}
