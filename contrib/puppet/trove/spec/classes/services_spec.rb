# frozen_string_literal: true

require 'spec_helper'

describe 'trove::api' do
  let(:pre_condition) { TOLD }
  let(:params) { { 'bind_port' => 8780, 'workers' => 3, 'http_get_rate' => 0, 'enable_proxy_headers_parsing' => true } }

  it 'compiles, and sets what it was told' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('DEFAULT/bind_port').with_value('8780')
    is_expected.to contain_trove_config('DEFAULT/trove_api_workers').with_value('3')
    is_expected.to contain_trove_config('DEFAULT/http_get_rate').with_value('0')
    is_expected.to contain_trove_config('oslo_middleware/enable_proxy_headers_parsing').with_value('true')
    is_expected.to contain_trove_config('DEFAULT/http_post_rate').with_ensure('absent')
    is_expected.to contain_file('/etc/trove/api-paste.ini').with('mode' => '0640', 'owner' => 'root', 'group' => 'trove')
  end

  it 'runs the service from where it was installed, after the tables are there' do
    is_expected.to contain_file('/etc/systemd/system/trove-api.service').with_content(%r{^ExecStart=/opt/trove/bin/trove-api$})
    is_expected.to contain_service('trove-api').with('ensure' => 'running', 'enable' => true)
    is_expected.to contain_exec('trove-manage-db-upgrade').with_user('trove').that_comes_before('Service[trove-api]')
  end

  it 'is restarted by its own options and by those of all, and restarts nobody else by its own' do
    is_expected.to contain_trove_config('DEFAULT/bind_port').that_notifies('Service[trove-api]')
    is_expected.to contain_trove_config('DEFAULT/transport_url').that_notifies('Service[trove-api]')
  end

  it 'hides secrets, and escapes what oslo.config would take for the name of an option' do
    is_expected.to compile
    expect(option('DEFAULT/transport_url')).to eq ['rabbit://trove:bus-pa$$$$word@127.0.0.1/trove', true]
    expect(option('database/connection')).to eq ['mysql+pymysql://trove:db-password@127.0.0.1/trove', true]
    expect(option('keystone_authtoken/password')).to eq ['token-password', true]
    expect(option('DEFAULT/bind_port')).to eq ['8780', false]
  end

  context 'without a service to manage' do
    let(:params) { { 'manage_service' => false, 'sync_db' => false } }

    it do
      is_expected.to compile.with_all_deps
      is_expected.not_to contain_service('trove-api')
      is_expected.not_to contain_exec('trove-manage-db-upgrade')
      is_expected.to contain_file('/etc/systemd/system/trove-api.service')
    end
  end

  context 'when it is not to run' do
    let(:params) { { 'enabled' => false } }

    it { is_expected.to contain_service('trove-api').with('ensure' => 'stopped', 'enable' => false) }
  end

  {
    'bind_port' => [70_000, 'eighty'],
    'workers' => [0, '2'],
    'auth_strategy' => ['noauth'],
    'http_get_rate' => [-1],
    'public_endpoint' => ['example.org'],
    'enabled' => ['yes'],
  }.each do |name, values|
    values.each do |value|
      context "with #{name} => #{value.inspect}" do
        let(:params) { { name => value } }

        it { is_expected.to compile.and_raise_error(%r{'#{name}'}) }
      end
    end
  end
end

describe 'trove::conductor' do
  let(:pre_condition) { TOLD }
  let(:params) { { 'max_batch' => 100 } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('conductor/max_batch').with_value('100').that_notifies('Service[trove-conductor]')
    is_expected.to contain_service('trove-conductor').with('ensure' => 'running', 'enable' => true)
  end

  context 'with a batch of nothing' do
    let(:params) { { 'max_batch' => 0 } }

    it { is_expected.to compile.and_raise_error(%r{'max_batch'}) }
  end
end

describe 'trove::taskmanager' do
  let(:pre_condition) { TOLD }
  let(:params) do
    { 'instances' => 2, 'workers' => 8, 'lock_url' => sensitive('mysql://trove:lock-password@127.0.0.1/trove'),
      'notification_service_id' => { 'mariadb' => 'one', 'mysql' => 'two' } }
  end

  it 'runs as many as it was told' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_file('/etc/systemd/system/trove-taskmanager@.service')
      .with_content(%r{^ExecStart=/opt/trove/bin/trove-taskmanager$})
    is_expected.to contain_service('trove-taskmanager@1').with_ensure('running')
    is_expected.to contain_service('trove-taskmanager@2').with_ensure('running')
    is_expected.not_to contain_service('trove-taskmanager@3')
    is_expected.to contain_trove_config('taskmanager/workers').with_value('8').that_notifies('Service[trove-taskmanager@2]')
    is_expected.to contain_trove_config('DEFAULT/notification_service_id').with_value('mariadb:one,mysql:two')
  end

  it 'hides the password of the locks' do
    is_expected.to compile
    expect(option('taskmanager/lock_url')).to eq ['mysql://trove:lock-password@127.0.0.1/trove', true]
  end

  context 'with no instance at all' do
    let(:params) { { 'instances' => 0 } }

    it { is_expected.to compile.and_raise_error(%r{'instances'}) }
  end
end

describe 'trove::objectstore' do
  let(:pre_condition) { TOLD }

  it 'has nothing to run for Swift' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('objectstore/driver').with_value('swift')
    is_expected.not_to contain_service('trove-objectstore')
  end

  context 'with files' do
    let(:params) { { 'driver' => 'file', 'path' => '/srv/objects', 'bind_port' => 8781 } }

    it do
      is_expected.to contain_service('trove-objectstore').with_ensure('running')
      is_expected.to contain_trove_config('objectstore/path').with_value('/srv/objects').that_notifies('Service[trove-objectstore]')
    end
  end

  context 'with S3' do
    let(:params) { { 'driver' => 's3', 's3_bucket' => 'trove', 's3_access_key' => 'one', 's3_secret_key' => 'two' } }

    it do
      is_expected.to compile
      expect(option('objectstore/s3_secret_key')).to eq ['two', true]
    end
  end

  context 'with a driver that there is not' do
    let(:params) { { 'driver' => 'tape' } }

    it { is_expected.to compile.and_raise_error(%r{'driver'}) }
  end
end

describe 'trove::guestagent' do
  let(:params) { { 'debug' => true } }

  it 'is ready for the first boot, and does not run before it' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_service('trove-guestagent').with('ensure' => 'stopped', 'enable' => true)
    is_expected.to contain_trove_guestagent_config('DEFAULT/debug').with_value('true')
    is_expected.to contain_file('/etc/trove/conf.d').with_mode('0700')
  end

  context 'with a log file at no clear place' do
    let(:params) { { 'log_file' => 'agent.log' } }

    it { is_expected.to compile.and_raise_error(%r{'log_file'}) }
  end
end
