# @summary Trove's user, service and endpoints in Keystone.
#
# An administrator's credentials are read from a clouds.yaml.
#
# @param password Password of the user.
# @param auth_name Name of the user.
# @param email E-mail address of the user.
# @param tenant Project of the user; it is made when it is not there.
# @param roles Roles of the user in that project; they have to exist.
# @param user_domain Domain of the user.
# @param project_domain Domain of the project.
# @param configure_user Whether the user, its project and its roles are made.
# @param configure_service Whether the service is made.
# @param configure_endpoint Whether the endpoints are made.
# @param service_name Name of the service.
# @param service_type Type of the service.
# @param service_description Description of the service.
# @param region Region of the endpoints.
# @param public_url Endpoint for everybody.
# @param internal_url Endpoint inside of the cloud.
# @param admin_url Endpoint for administrators.
# @param cloud Name of the administrator's cloud in `clouds_file`.
# @param clouds_file The clouds.yaml. It has a password: let nobody but root read it.
# @param python A Python that has openstacksdk.
class trove::keystone::auth (
  Trove::Secret $password,
  String[1] $auth_name                     = 'trove',
  Optional[String[1]] $email               = undef,
  String[1] $tenant                        = 'services',
  Array[String[1]] $roles                  = ['admin', 'service'],
  String[1] $user_domain                   = 'Default',
  String[1] $project_domain                = 'Default',
  Boolean $configure_user                  = true,
  Boolean $configure_service               = true,
  Boolean $configure_endpoint              = true,
  String[1] $service_name                  = 'trove',
  String[1] $service_type                  = 'database',
  String[1] $service_description           = 'Database Service',
  String[1] $region                        = 'RegionOne',
  Trove::Url $public_url                   = 'http://127.0.0.1:8779/v1.0/%(tenant_id)s',
  Trove::Url $internal_url                 = 'http://127.0.0.1:8779/v1.0/%(tenant_id)s',
  Trove::Url $admin_url                    = 'http://127.0.0.1:8779/v1.0/%(tenant_id)s',
  String[1] $cloud                         = 'openstack',
  Stdlib::Absolutepath $clouds_file        = '/etc/openstack/clouds.yaml',
  Stdlib::Absolutepath $python             = '/opt/trove/bin/python',
) {
  include trove::deps

  $user = $configure_user ? {
    false => {},
    true  => {
      'user' => {
        'name'           => $auth_name,
        'email'          => $email,
        'project'        => $tenant,
        'roles'          => $roles,
        'user_domain'    => $user_domain,
        'project_domain' => $project_domain,
      },
    },
  }
  $service = $configure_service ? {
    false => {},
    true  => {
      'service' => { 'name' => $service_name, 'type' => $service_type, 'description' => $service_description },
    },
  }
  $endpoints = $configure_endpoint ? {
    false => {},
    true  => {
      'endpoints' => { 'region' => $region, 'public' => $public_url, 'internal' => $internal_url, 'admin' => $admin_url },
    },
  }

  trove_identity { $auth_name:
    password    => Sensitive($password ? { Sensitive => $password.unwrap, default => $password }),
    wanted      => { 'service_name' => $service_name, 'service_type' => $service_type } + $user + $service + $endpoints,
    cloud       => $cloud,
    clouds_file => $clouds_file,
    python      => $python,
  }
}
