# Trove's whole control plane on one machine, beside a RabbitMQ, a MariaDB and a Keystone that are there.
#
# The database's administrator is found by ~root/.my.cnf, that of Keystone by /etc/openstack/clouds.yaml. What differs from
# site to site is in data/all-in-one.yaml:
#
#     puppet apply --modulepath /etc/puppet/code/modules:/usr/share/puppet/modules --hiera_config hiera.yaml site.pp
node default {
  $rabbitmq_password = lookup('site::rabbitmq_password', String[1])
  $database_password = lookup('site::database_password', String[1])
  $service_password  = Sensitive(lookup('site::service_password', String[1]))

  $rabbitmq_user = lookup('site::rabbitmq_user', String[1])
  $rabbitmq_host = lookup('site::rabbitmq_host', String[1])
  $rabbitmq_port = lookup('site::rabbitmq_port', Integer)
  $management_port = lookup('site::rabbitmq_management_port', Integer)
  $database_host = lookup('site::database_host', String[1])
  $database_port = lookup('site::database_port', Integer)
  $keystone_url  = lookup('site::keystone_url', String[1])
  $api_url       = "${lookup('site::api_url', String[1])}/v1.0/%(tenant_id)s"

  class { 'trove':
    default_transport_url => Sensitive("rabbit://${rabbitmq_user}:${rabbitmq_password}@${rabbitmq_host}:${rabbitmq_port}/trove"),
    management_url        => Sensitive("http://${rabbitmq_user}:${rabbitmq_password}@${rabbitmq_host}:${management_port}"),
  }
  class { 'trove::db':
    database_connection => Sensitive("mysql+pymysql://trove:${database_password}@${database_host}:${database_port}/trove"),
  }
  class { 'trove::db::mysql':
    password => Sensitive($database_password),
    host     => $database_host,
  }
  class { 'trove::keystone::auth':
    password     => $service_password,
    public_url   => $api_url,
    internal_url => $api_url,
    admin_url    => $api_url,
  }
  class { 'trove::keystone::authtoken':
    password             => $service_password,
    auth_url             => $keystone_url,
    www_authenticate_uri => $keystone_url,
  }
  class { 'trove::api::service_credentials':
    password => $service_password,
    auth_url => $keystone_url,
  }
  class { 'trove::taskmanager':
    lock_url => Sensitive("mysql://trove:${database_password}@${database_host}:${database_port}/trove"),
  }

  include trove::api
  include trove::conductor
  include trove::objectstore
  include trove::network
  include trove::quota
  include trove::logging
  include trove::config
}
