# @summary trove-api, the REST API.
#
# @param manage_service Whether Puppet starts, stops and restarts it.
# @param enabled Whether it is to run.
# @param sync_db Whether this machine brings the tables of the state database up to date.
# @param bind_host Address it listens on.
# @param bind_port Port it listens on.
# @param workers Processes (`trove_api_workers`).
# @param threads Requests that one process answers at the same time (`trove_api_threads`).
# @param guest_call_threads The same, of those that wait for guest agents.
# @param auth_strategy `keystone`, or `basic` with files of users.
# @param basic_auth_user_file File of users and bcrypt hashes, for `basic`.
# @param basic_auth_roles_file File of projects and roles, for `basic`.
# @param public_endpoint Base URL for links in replies.
# @param enable_proxy_headers_parsing Believe `X-Forwarded-*`; only behind a proxy that sets them.
# @param max_body_size Largest request body in bytes.
# @param max_concurrent_requests Requests one process has in hand at most.
# @param max_connections Connections one process keeps open.
# @param http_get_rate GET requests a minute; 0 is unlimited.
# @param http_post_rate POST requests a minute.
# @param http_put_rate PUT requests a minute.
# @param http_patch_rate PATCH requests a minute.
# @param http_delete_rate DELETE requests a minute.
# @param http_mgmt_post_rate POST requests of administrators a minute.
# @param rate_limit_storage Where requests are counted; may hold a password.
# @param instances_page_size Most instances in one page.
# @param backups_page_size Most backups in one page.
# @param clusters_page_size Most clusters in one page.
# @param configurations_page_size Most configuration groups in one page.
# @param modules_page_size Most modules in one page.
# @param databases_page_size Most databases in one page.
# @param users_page_size Most users in one page.
# @param replace_api_paste Whether api-paste.ini is brought back to ours. False where `trove_api_paste_ini` changes it.
class trove::api (
  Boolean $manage_service                           = true,
  Boolean $enabled                                  = true,
  Boolean $sync_db                                  = true,
  Optional[String[1]] $bind_host                    = undef,
  Optional[Stdlib::Port] $bind_port                 = undef,
  Optional[Integer[1]] $workers                     = undef,
  Optional[Integer[1]] $threads                     = undef,
  Optional[Integer[1]] $guest_call_threads          = undef,
  Enum['keystone', 'basic'] $auth_strategy          = 'keystone',
  Optional[Stdlib::Absolutepath] $basic_auth_user_file  = undef,
  Optional[Stdlib::Absolutepath] $basic_auth_roles_file = undef,
  Optional[Trove::Url] $public_endpoint             = undef,
  Optional[Boolean] $enable_proxy_headers_parsing   = undef,
  Optional[Integer[1024]] $max_body_size            = undef,
  Optional[Integer[1]] $max_concurrent_requests     = undef,
  Optional[Integer[1]] $max_connections             = undef,
  Optional[Integer[0]] $http_get_rate               = undef,
  Optional[Integer[0]] $http_post_rate              = undef,
  Optional[Integer[0]] $http_put_rate               = undef,
  Optional[Integer[0]] $http_patch_rate             = undef,
  Optional[Integer[0]] $http_delete_rate            = undef,
  Optional[Integer[0]] $http_mgmt_post_rate         = undef,
  Optional[Trove::Secret] $rate_limit_storage       = undef,
  Optional[Integer[1]] $instances_page_size         = undef,
  Optional[Integer[1]] $backups_page_size           = undef,
  Optional[Integer[1]] $clusters_page_size          = undef,
  Optional[Integer[1]] $configurations_page_size    = undef,
  Optional[Integer[1]] $modules_page_size           = undef,
  Optional[Integer[1]] $databases_page_size         = undef,
  Optional[Integer[1]] $users_page_size             = undef,
  Boolean $replace_api_paste                        = true,
) {
  include trove
  include trove::db
  include trove::policy
  if $auth_strategy == 'keystone' {
    include trove::keystone::authtoken
  }
  if $sync_db {
    include trove::db::sync
  }

  file { $trove::params::paste_file:
    ensure  => file,
    owner   => 'root',
    group   => $trove::params::group,
    mode    => '0640',
    source  => 'puppet:///modules/trove/api-paste.ini',
    replace => $replace_api_paste,
    require => Anchor['trove::config::begin'],
    before  => Anchor['trove::config::end'],
    notify  => Trove::Service['trove-api'],
  }

  trove::options { 'trove-api':
    service => 'trove-api',
    values  => {
      'DEFAULT/bind_host'                            => $bind_host,
      'DEFAULT/bind_port'                            => $bind_port,
      'DEFAULT/trove_api_workers'                    => $workers,
      'DEFAULT/trove_api_threads'                    => $threads,
      'DEFAULT/guest_call_threads'                   => $guest_call_threads,
      'DEFAULT/auth_strategy'                        => $auth_strategy,
      'DEFAULT/api_paste_config'                     => $trove::params::paste_file,
      'DEFAULT/public_endpoint'                      => $public_endpoint,
      'DEFAULT/max_body_size'                        => $max_body_size,
      'DEFAULT/max_concurrent_requests'              => $max_concurrent_requests,
      'DEFAULT/max_connections'                      => $max_connections,
      'DEFAULT/http_get_rate'                        => $http_get_rate,
      'DEFAULT/http_post_rate'                       => $http_post_rate,
      'DEFAULT/http_put_rate'                        => $http_put_rate,
      'DEFAULT/http_patch_rate'                      => $http_patch_rate,
      'DEFAULT/http_delete_rate'                     => $http_delete_rate,
      'DEFAULT/http_mgmt_post_rate'                  => $http_mgmt_post_rate,
      'DEFAULT/rate_limit_storage'                   => trove::secret($rate_limit_storage),
      'DEFAULT/instances_page_size'                  => $instances_page_size,
      'DEFAULT/backups_page_size'                    => $backups_page_size,
      'DEFAULT/clusters_page_size'                   => $clusters_page_size,
      'DEFAULT/configurations_page_size'             => $configurations_page_size,
      'DEFAULT/modules_page_size'                    => $modules_page_size,
      'DEFAULT/databases_page_size'                  => $databases_page_size,
      'DEFAULT/users_page_size'                      => $users_page_size,
      'basic_auth/user_file'                         => $basic_auth_user_file,
      'basic_auth/roles_file'                        => $basic_auth_roles_file,
      'oslo_middleware/enable_proxy_headers_parsing' => $enable_proxy_headers_parsing,
    },
  }

  trove::service { 'trove-api':
    manage_service => $manage_service,
    enabled        => $enabled,
  }
}
