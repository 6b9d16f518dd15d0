# @summary How the API has tokens checked by Keystone.
#
# @param password Password of the user that checks tokens.
# @param username Name of that user.
# @param auth_url URL of Keystone.
# @param project_name Project of that user.
# @param user_domain_name Domain of that user.
# @param project_domain_name Domain of that project.
# @param auth_type Type of authentication.
# @param auth_section Section that has the user, instead of `keystone_authtoken`.
# @param www_authenticate_uri URL that clients without a token are sent to.
# @param auth_version Version of Keystone's API.
# @param interface Endpoint of Keystone that is used.
# @param service_type Type of this service, for tokens with access rules.
# @param service_token_roles Roles of which service tokens have one.
# @param service_token_roles_required Whether they must.
# @param insecure Do not check Keystone's certificate.
# @param cafile Certificates of the authorities to be trusted.
# @param certfile Certificate shown to Keystone.
# @param keyfile Key of that certificate.
# @param region_name Region of Keystone.
# @param cache Key of a cache in the environment of requests.
# @param memcached_servers Servers that remember checked tokens.
# @param token_cache_time Seconds for which they do.
# @param memcache_security_strategy How tokens are protected there.
# @param memcache_secret_key Key for that.
# @param memcache_use_advanced_pool Use the advanced pool of connections.
# @param memcache_pool_dead_retry Seconds until a dead server is tried again.
# @param memcache_pool_maxsize Most connections.
# @param memcache_pool_socket_timeout Seconds to wait for a server.
# @param memcache_pool_unused_timeout Seconds an idle connection is kept.
# @param memcache_pool_conn_get_timeout Seconds to wait for a connection.
# @param delay_auth_decision Let requests without a valid token through; the API refuses them itself.
# @param enforce_token_bind How bound tokens are checked.
# @param http_connect_timeout Seconds to wait for Keystone.
# @param http_request_max_retries How often Keystone is asked again.
# @param include_service_catalog Whether the catalogue is asked for.
class trove::keystone::authtoken (
  Trove::Secret $password,
  String[1] $username                                     = 'trove',
  Trove::Url $auth_url                                    = 'http://127.0.0.1:5000/v3',
  String[1] $project_name                                 = 'services',
  String[1] $user_domain_name                             = 'Default',
  String[1] $project_domain_name                          = 'Default',
  String[1] $auth_type                                    = 'password',
  Optional[String[1]] $auth_section                       = undef,
  Trove::Url $www_authenticate_uri                        = 'http://127.0.0.1:5000/v3',
  Optional[String[1]] $auth_version                       = undef,
  Optional[Enum['public', 'internal', 'admin']] $interface = undef,
  Optional[String[1]] $service_type                       = undef,
  Optional[Array[String[1]]] $service_token_roles         = undef,
  Optional[Boolean] $service_token_roles_required         = undef,
  Optional[Boolean] $insecure                             = undef,
  Optional[Stdlib::Absolutepath] $cafile                  = undef,
  Optional[Stdlib::Absolutepath] $certfile                = undef,
  Optional[Stdlib::Absolutepath] $keyfile                 = undef,
  Optional[String[1]] $region_name                        = undef,
  Optional[String[1]] $cache                              = undef,
  Optional[Variant[String[1], Array[String[1]]]] $memcached_servers = undef,
  Optional[Integer[-1]] $token_cache_time                 = undef,
  Optional[Enum['None', 'MAC', 'ENCRYPT']] $memcache_security_strategy = undef,
  Optional[Trove::Secret] $memcache_secret_key            = undef,
  Optional[Boolean] $memcache_use_advanced_pool           = undef,
  Optional[Integer[0]] $memcache_pool_dead_retry          = undef,
  Optional[Integer[1]] $memcache_pool_maxsize             = undef,
  Optional[Integer[1]] $memcache_pool_socket_timeout      = undef,
  Optional[Integer[0]] $memcache_pool_unused_timeout      = undef,
  Optional[Integer[0]] $memcache_pool_conn_get_timeout    = undef,
  Optional[Boolean] $delay_auth_decision                  = undef,
  Optional[String[1]] $enforce_token_bind                 = undef,
  Optional[Integer[0]] $http_connect_timeout              = undef,
  Optional[Integer[0]] $http_request_max_retries          = undef,
  Optional[Boolean] $include_service_catalog              = undef,
) {
  trove::options { 'keystone_authtoken':
    service => 'trove-api',
    values  => {
      'keystone_authtoken/auth_type'                      => $auth_type,
      'keystone_authtoken/auth_section'                   => $auth_section,
      'keystone_authtoken/auth_url'                       => $auth_url,
      'keystone_authtoken/username'                       => $username,
      'keystone_authtoken/password'                       => trove::secret($password),
      'keystone_authtoken/project_name'                   => $project_name,
      'keystone_authtoken/user_domain_name'               => $user_domain_name,
      'keystone_authtoken/project_domain_name'            => $project_domain_name,
      'keystone_authtoken/www_authenticate_uri'           => $www_authenticate_uri,
      'keystone_authtoken/auth_version'                   => $auth_version,
      'keystone_authtoken/interface'                      => $interface,
      'keystone_authtoken/service_type'                   => $service_type,
      'keystone_authtoken/service_token_roles'            => $service_token_roles,
      'keystone_authtoken/service_token_roles_required'   => $service_token_roles_required,
      'keystone_authtoken/insecure'                       => $insecure,
      'keystone_authtoken/cafile'                         => $cafile,
      'keystone_authtoken/certfile'                       => $certfile,
      'keystone_authtoken/keyfile'                        => $keyfile,
      'keystone_authtoken/region_name'                    => $region_name,
      'keystone_authtoken/cache'                          => $cache,
      'keystone_authtoken/memcached_servers'              => $memcached_servers,
      'keystone_authtoken/token_cache_time'               => $token_cache_time,
      'keystone_authtoken/memcache_security_strategy'     => $memcache_security_strategy,
      'keystone_authtoken/memcache_secret_key'            => trove::secret($memcache_secret_key),
      'keystone_authtoken/memcache_use_advanced_pool'     => $memcache_use_advanced_pool,
      'keystone_authtoken/memcache_pool_dead_retry'       => $memcache_pool_dead_retry,
      'keystone_authtoken/memcache_pool_maxsize'          => $memcache_pool_maxsize,
      'keystone_authtoken/memcache_pool_socket_timeout'   => $memcache_pool_socket_timeout,
      'keystone_authtoken/memcache_pool_unused_timeout'   => $memcache_pool_unused_timeout,
      'keystone_authtoken/memcache_pool_conn_get_timeout' => $memcache_pool_conn_get_timeout,
      'keystone_authtoken/delay_auth_decision'            => $delay_auth_decision,
      'keystone_authtoken/enforce_token_bind'             => $enforce_token_bind,
      'keystone_authtoken/http_connect_timeout'           => $http_connect_timeout,
      'keystone_authtoken/http_request_max_retries'       => $http_request_max_retries,
      'keystone_authtoken/include_service_catalog'        => $include_service_catalog,
    },
  }
}
