# @summary Any options, for what no parameter names. Best from Hiera.
#
#     trove::config::trove_config:
#       DEFAULT/max_accepted_volume_size: { value: 100 }
#
# @param trove_config Options of trove.conf by `section/option`, each with the parameters of `trove_config`.
# @param trove_guestagent_config Options for the guest agent.
# @param trove_api_paste_ini Options of api-paste.ini; set `trove::api::replace_api_paste` to false with them.
class trove::config (
  Hash[String[1], Hash] $trove_config            = {},
  Hash[String[1], Hash] $trove_guestagent_config = {},
  Hash[String[1], Hash] $trove_api_paste_ini     = {},
) {
  include trove::deps

  $trove_config.each |$name, $parameters| {
    trove_config { $name: * => $parameters }
  }
  $trove_guestagent_config.each |$name, $parameters| {
    trove_guestagent_config { $name: * => $parameters }
  }
  $trove_api_paste_ini.each |$name, $parameters| {
    trove_api_paste_ini { $name: * => $parameters }
  }
}
