# @summary The order of everything, by anchors that other modules and site manifests may hook into.
#
# Services are restarted by what they read: an option of one service alone notifies that service, an option of all notifies
# `trove::service::begin`. Software and schema notify it, too.
class trove::deps {
  anchor { 'trove::install::begin': }
  -> anchor { 'trove::install::end': }
  -> anchor { 'trove::config::begin': }
  -> anchor { 'trove::config::end': }
  -> anchor { 'trove::db::begin': }
  -> anchor { 'trove::db::end': }
  -> anchor { 'trove::dbsync::begin': }
  -> anchor { 'trove::dbsync::end': }
  -> anchor { 'trove::service::begin': }
  ~> Trove::Service<||>
  ~> anchor { 'trove::service::end': }

  Anchor['trove::install::end'] ~> Anchor['trove::service::begin']
  Anchor['trove::dbsync::end'] ~> Anchor['trove::service::begin']

  Anchor['trove::config::begin']
  -> Trove_config<||>
  -> Anchor['trove::config::end']

  Anchor['trove::config::begin']
  -> Trove_api_paste_ini<||>
  -> Anchor['trove::config::end']

  Anchor['trove::config::begin']
  -> Trove_guestagent_config<||>
  -> Anchor['trove::config::end']

  # Options of no known service concern all of them. Those of `trove::options` carry this tag and notify by themselves.
  Trove_config<| tag != 'trove-options' |> ~> Anchor['trove::service::begin']
  Trove_api_paste_ini<||> ~> Trove::Service<| title == 'trove-api' |>
  Trove_guestagent_config<||> ~> Trove::Service<| title == 'trove-guestagent' |>

  # It speaks to Keystone with the Python that was installed.
  Anchor['trove::install::end'] -> Trove_identity<||> -> Anchor['trove::service::end']
}
