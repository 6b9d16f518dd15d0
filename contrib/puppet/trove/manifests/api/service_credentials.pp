# @summary The account with which Trove itself uses Nova, Cinder, Neutron, Glance and Swift.
#
# @param password Password of the user.
# @param auth_url URL of Keystone.
# @param username Name of the user.
# @param project_name Project of the user.
# @param project_id Project of the user by id, instead of its name.
# @param user_domain_name Domain of the user.
# @param project_domain_name Domain of the project.
# @param region_name Region whose endpoints are used.
# @param cafile Certificates of the authorities to be trusted.
class trove::api::service_credentials (
  Trove::Secret $password,
  Trove::Url $auth_url                     = 'http://127.0.0.1:5000/v3',
  String[1] $username                      = 'trove',
  String[1] $project_name                  = 'services',
  Optional[String[1]] $project_id          = undef,
  String[1] $user_domain_name              = 'Default',
  String[1] $project_domain_name           = 'Default',
  Optional[String[1]] $region_name         = undef,
  Optional[Stdlib::Absolutepath] $cafile   = undef,
) {
  trove::options { 'service_credentials':
    values => {
      'service_credentials/auth_url'            => $auth_url,
      'service_credentials/username'            => $username,
      'service_credentials/password'            => trove::secret($password),
      'service_credentials/project_name'        => $project_name,
      'service_credentials/project_id'          => $project_id,
      'service_credentials/user_domain_name'    => $user_domain_name,
      'service_credentials/project_domain_name' => $project_domain_name,
      'service_credentials/region_name'         => $region_name,
      'service_credentials/cafile'              => $cafile,
    },
  }
}
