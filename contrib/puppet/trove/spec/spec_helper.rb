# frozen_string_literal: true

require 'rspec-puppet'

MODULE = File.expand_path('..', __dir__)
FACTS = {
  'os' => { 'family' => 'Debian', 'name' => 'Debian', 'release' => { 'major' => '12', 'full' => '12.0' },
            'distro' => { 'codename' => 'bookworm' } },
  'osfamily' => 'Debian',
  'operatingsystem' => 'Debian',
  'operatingsystemrelease' => '12.0',
  'kernel' => 'Linux',
  'path' => '/usr/bin:/bin',
  'service_provider' => 'systemd',
}.freeze

# Classes that have to be told a password, told one.
TOLD = <<~'PUPPET'
  class { 'trove': default_transport_url => Sensitive('rabbit://trove:bus-pa$$word@127.0.0.1/trove') }
  class { 'trove::db': database_connection => Sensitive('mysql+pymysql://trove:db-password@127.0.0.1/trove') }
  class { 'trove::keystone::authtoken': password => Sensitive('token-password') }
PUPPET

RSpec.configure do |config|
  config.module_path = [File.dirname(MODULE), '/usr/share/puppet/modules'].join(':')
  config.default_facts = FACTS
  config.strict_variables = true
  config.mock_with(:rspec)
  config.raise_on_warning = false
end

# The value of an option in a catalogue, with whether it is hidden.
def option(name)
  found = catalogue.resource("Trove_config[#{name}]")
  [found[:value], found.sensitive_parameters.include?(:value)]
end
