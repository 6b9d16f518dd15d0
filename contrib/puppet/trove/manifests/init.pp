# @summary Software, user and directories, and the options that all services share.
#
# Parameters named after an option set it; undef leaves the service's own default. Secrets should be Sensitive; a `$` in them
# is escaped for you.
#
# @param default_transport_url Message bus of the control plane (`transport_url`).
# @param management_url URL with user and password of RabbitMQ's management API: every guest then gets a bus user of its own.
# @param guest_transport_url Bus URL of guests, when it differs.
# @param notification_transport_url Broker of notifications.
# @param notification_driver How notifications are published: `messagingv2`, `log`.
# @param notification_topics Topics notifications are published under.
# @param cloud Where database servers run.
# @param region Name of the region.
# @param host Name of this machine.
# @param default_datastore Datastore of instances that name none.
# @param secret_keys Lines of the key file, the sealing key first; the same on all machines of the control plane. Without them
#   a machine makes a key of its own, which suits one machine alone.
# @param install_method `venv`: pip into `venv_dir`; `package`: a package of the system; `none`: it is there.
# @param package_name Name for pip, or of the system's package.
# @param package_source Wheel or URL to install from (venv), or the `source` of the system's package.
# @param package_ensure `present` or a version.
# @param extras Extras of the Python package.
# @param venv_dir Directory of the environment.
# @param python Python the environment is made with.
# @param prerequisites Packages of the system that have to be there first.
# @param pip_options More options for `pip install`, such as `--index-url=…`.
# @param venv_options More options for `python -m venv`.
# @param manage_user Whether the user and the group `trove` are made.
# @param purge_config Whether options in trove.conf that Puppet does not set are removed.
# @param service_provider Puppet's provider of services, if not the usual one of the system.
# @param report_interval Seconds between two heartbeats of a guest agent.
# @param agent_heartbeat_expiry Seconds after which a guest agent counts as gone.
# @param agent_call_low_timeout Seconds to wait for a guest agent's answer to a light call.
# @param agent_call_high_timeout Seconds to wait for a guest agent's answer to a heavy call.
# @param nova_compute_url URL instead of the catalogue's.
# @param nova_compute_service_type Type in the catalogue.
# @param nova_compute_endpoint_type Endpoint in the catalogue.
# @param nova_compute_api_insecure Do not check certificates.
# @param cinder_url URL instead of the catalogue's.
# @param cinder_service_type Type in the catalogue.
# @param cinder_endpoint_type Endpoint in the catalogue.
# @param cinder_api_insecure Do not check certificates.
# @param neutron_url URL instead of the catalogue's.
# @param neutron_service_type Type in the catalogue.
# @param neutron_endpoint_type Endpoint in the catalogue.
# @param neutron_api_insecure Do not check certificates.
# @param glance_url URL instead of the catalogue's.
# @param glance_service_type Type in the catalogue.
# @param glance_endpoint_type Endpoint in the catalogue.
# @param glance_api_insecure Do not check certificates.
# @param swift_url URL instead of the catalogue's.
# @param swift_service_type Type in the catalogue.
# @param swift_endpoint_type Endpoint in the catalogue.
# @param swift_api_insecure Do not check certificates.
class trove (
  Optional[Trove::Secret] $default_transport_url                = undef,
  Optional[Trove::Secret] $management_url                       = undef,
  Optional[Trove::Secret] $guest_transport_url                  = undef,
  Optional[Trove::Secret] $notification_transport_url           = undef,
  Optional[String[1]] $notification_driver                      = undef,
  Optional[Array[String[1]]] $notification_topics               = undef,
  Enum['openstack', 'local', 'memory'] $cloud                   = 'openstack',
  Optional[String[1]] $region                                   = undef,
  Optional[String[1]] $host                                     = undef,
  Optional[String[1]] $default_datastore                        = undef,
  Optional[Variant[Sensitive[Array[String[1], 1]], Array[String[1], 1]]] $secret_keys = undef,
  Enum['venv', 'package', 'none'] $install_method               = 'venv',
  Pattern[/\A[\w.-]+\z/] $package_name                          = 'trove',
  Optional[Pattern[/\A[^\s']+\z/]] $package_source              = undef,
  Pattern[/\A[\w.!+~:-]+\z/] $package_ensure                    = 'present',
  Array[Pattern[/\A[\w-]+\z/]] $extras                          = ['openstack'],
  Stdlib::Absolutepath $venv_dir                                = '/opt/trove',
  Stdlib::Absolutepath $python                                  = '/usr/bin/python3',
  Array[String[1]] $prerequisites                               = ['python3-venv'],
  Array[Pattern[/\A[^\s']+\z/]] $pip_options                    = [],
  Array[Pattern[/\A[^\s']+\z/]] $venv_options                   = [],
  Boolean $manage_user                                          = true,
  Boolean $purge_config                                         = false,
  Optional[String[1]] $service_provider                         = undef,
  Optional[Integer[1]] $report_interval                         = undef,
  Optional[Integer[1]] $agent_heartbeat_expiry                  = undef,
  Optional[Integer[1]] $agent_call_low_timeout                  = undef,
  Optional[Integer[1]] $agent_call_high_timeout                 = undef,
  Optional[Trove::Url] $nova_compute_url                        = undef,
  Optional[String[1]] $nova_compute_service_type                = undef,
  Optional[Trove::Endpointtype] $nova_compute_endpoint_type     = undef,
  Optional[Boolean] $nova_compute_api_insecure                  = undef,
  Optional[Trove::Url] $cinder_url                              = undef,
  Optional[String[1]] $cinder_service_type                      = undef,
  Optional[Trove::Endpointtype] $cinder_endpoint_type           = undef,
  Optional[Boolean] $cinder_api_insecure                        = undef,
  Optional[Trove::Url] $neutron_url                             = undef,
  Optional[String[1]] $neutron_service_type                     = undef,
  Optional[Trove::Endpointtype] $neutron_endpoint_type          = undef,
  Optional[Boolean] $neutron_api_insecure                       = undef,
  Optional[Trove::Url] $glance_url                              = undef,
  Optional[String[1]] $glance_service_type                      = undef,
  Optional[Trove::Endpointtype] $glance_endpoint_type           = undef,
  Optional[Boolean] $glance_api_insecure                        = undef,
  Optional[Trove::Url] $swift_url                               = undef,
  Optional[String[1]] $swift_service_type                       = undef,
  Optional[Trove::Endpointtype] $swift_endpoint_type            = undef,
  Optional[Boolean] $swift_api_insecure                         = undef,
) {
  include trove::params
  include trove::deps
  include trove::install
  include trove::keys

  $bin_dir = $install_method ? {
    'venv'  => "${venv_dir}/bin",
    default => '/usr/bin',
  }

  file { $trove::params::config_file:
    ensure  => file,
    owner   => 'root',
    group   => $trove::params::group,
    mode    => '0640',
    require => Anchor['trove::config::begin'],
    before  => Anchor['trove::config::end'],
  }

  resources { 'trove_config':
    purge => $purge_config,
  }

  trove::options { 'trove':
    values => {
      'DEFAULT/transport_url'                      => trove::secret($default_transport_url),
      'DEFAULT/cloud'                              => $cloud,
      'DEFAULT/region'                             => $region,
      'DEFAULT/host'                               => $host,
      'DEFAULT/default_datastore'                  => $default_datastore,
      'DEFAULT/report_interval'                    => $report_interval,
      'DEFAULT/agent_heartbeat_expiry'             => $agent_heartbeat_expiry,
      'DEFAULT/agent_call_low_timeout'             => $agent_call_low_timeout,
      'DEFAULT/agent_call_high_timeout'            => $agent_call_high_timeout,
      'DEFAULT/nova_compute_url'                   => $nova_compute_url,
      'DEFAULT/nova_compute_service_type'          => $nova_compute_service_type,
      'DEFAULT/nova_compute_endpoint_type'         => $nova_compute_endpoint_type,
      'DEFAULT/nova_compute_api_insecure'          => $nova_compute_api_insecure,
      'DEFAULT/cinder_url'                         => $cinder_url,
      'DEFAULT/cinder_service_type'                => $cinder_service_type,
      'DEFAULT/cinder_endpoint_type'               => $cinder_endpoint_type,
      'DEFAULT/cinder_api_insecure'                => $cinder_api_insecure,
      'DEFAULT/neutron_url'                        => $neutron_url,
      'DEFAULT/neutron_service_type'               => $neutron_service_type,
      'DEFAULT/neutron_endpoint_type'              => $neutron_endpoint_type,
      'DEFAULT/neutron_api_insecure'               => $neutron_api_insecure,
      'DEFAULT/glance_url'                         => $glance_url,
      'DEFAULT/glance_service_type'                => $glance_service_type,
      'DEFAULT/glance_endpoint_type'               => $glance_endpoint_type,
      'DEFAULT/glance_api_insecure'                => $glance_api_insecure,
      'DEFAULT/swift_url'                          => $swift_url,
      'DEFAULT/swift_service_type'                 => $swift_service_type,
      'DEFAULT/swift_endpoint_type'                => $swift_endpoint_type,
      'DEFAULT/swift_api_insecure'                 => $swift_api_insecure,
      'bus/management_url'                         => trove::secret($management_url),
      'bus/guest_transport_url'                    => trove::secret($guest_transport_url),
      'secrets/key_file'                           => $trove::params::key_file,
      'oslo_messaging_notifications/transport_url' => trove::secret($notification_transport_url),
      'oslo_messaging_notifications/driver'        => $notification_driver,
      'oslo_messaging_notifications/topics'        => $notification_topics,
    },
  }
}
