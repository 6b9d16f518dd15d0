# frozen_string_literal: true

require 'spec_helper'

describe 'trove' do
  it 'makes user, directories and files that are closed to others' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_user('trove').with('system' => true, 'shell' => '/usr/sbin/nologin')
    is_expected.to contain_file('/etc/trove').with('mode' => '0750', 'owner' => 'root', 'group' => 'trove')
    is_expected.to contain_file('/var/lib/trove').with('mode' => '0700', 'owner' => 'trove')
    is_expected.to contain_file('/etc/trove/trove.conf').with('mode' => '0640', 'owner' => 'root', 'group' => 'trove')
    is_expected.to contain_file('/etc/trove/secret.key').with('mode' => '0600', 'owner' => 'trove', 'show_diff' => false)
    is_expected.to contain_exec('trove-secret-key').with_creates('/etc/trove/secret.key')
  end

  it 'installs into an environment of its own' do
    is_expected.to contain_exec('trove-venv').with_command(['/usr/bin/python3', '-m', 'venv', '/opt/trove'])
    is_expected.to contain_exec('trove-install').with_command(%r{/opt/trove/bin/pip install .*'trove\[openstack\]'})
                                                .that_notifies('Anchor[trove::service::begin]')
    is_expected.to contain_package('python3-venv')
  end

  context 'with a wheel, extras and options' do
    let(:params) do
      { 'package_source' => '/srv/trove-2.0.0-py3-none-any.whl', 'extras' => %w[openstack s3], 'pip_options' => ['--no-index'],
        'venv_dir' => '/srv/venv' }
    end

    it do
      is_expected.to contain_exec('trove-install')
        .with_command(%r{/srv/venv/bin/pip install .* --no-index '/srv/trove-2.0.0-py3-none-any.whl\[openstack,s3\]'})
        .with_unless(%r{sha256sum < '/srv/trove-2.0.0-py3-none-any.whl'})
    end
  end

  context 'with a package of the system' do
    let(:params) { { 'install_method' => 'package', 'package_name' => 'trove', 'package_ensure' => '1.0.0' } }

    it do
      is_expected.to compile.with_all_deps
      is_expected.to contain_package('trove').with_ensure('1.0.0')
      is_expected.not_to contain_exec('trove-install')
    end
  end

  context 'with keys' do
    let(:params) { { 'secret_keys' => sensitive(%w[first second]) } }

    it 'writes them, hidden, and makes none' do
      is_expected.to compile
      expect(catalogue.resource('File[/etc/trove/secret.key]')[:content]).to eq "first\nsecond\n"
      expect(catalogue.resource('File[/etc/trove/secret.key]').sensitive_parameters).to include :content
      is_expected.not_to contain_exec('trove-secret-key')
    end
  end

  context 'with secrets that are plain text' do
    let(:params) { { 'default_transport_url' => 'rabbit://a:b@c/d', 'notification_transport_url' => 'rabbit://e:f@g/h' } }

    it 'hides them all the same' do
      is_expected.to compile
      expect(option('DEFAULT/transport_url')).to eq ['rabbit://a:b@c/d', true]
      expect(option('oslo_messaging_notifications/transport_url')).to eq ['rabbit://e:f@g/h', true]
    end
  end

  context 'with purging' do
    let(:params) { { 'purge_config' => true } }

    it { is_expected.to contain_resources('trove_config').with_purge(true) }
  end

  {
    'cloud' => 'vmware',
    'install_method' => 'git',
    'package_source' => "x'; reboot; '",
    'venv_dir' => 'trove',
    'report_interval' => 0,
    'default_transport_url' => "rabbit://\nsecond line",
    'nova_compute_endpoint_type' => 'public',
  }.each do |name, value|
    context "with #{name} => #{value.inspect}" do
      let(:params) { { name => value } }

      it { is_expected.to compile.and_raise_error(%r{'#{name}'}) }
    end
  end

  context 'with the newest version, into an environment' do
    let(:params) { { 'package_ensure' => 'latest' } }

    it { is_expected.to compile.and_raise_error(%r{package_ensure}) }
  end
end

describe 'trove::client' do
  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_package('python3-troveclient').with_ensure('installed')
  end
end

describe 'trove::quota' do
  let(:pre_condition) { "#{TOLD} include trove::api include trove::conductor" }
  let(:params) { { 'max_instances_per_tenant' => -1, 'max_accepted_volume_size' => 100 } }

  it 'restarts all services' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('DEFAULT/max_instances_per_tenant')
      .with_value('-1').that_notifies(['Service[trove-api]', 'Service[trove-conductor]'])
    is_expected.to contain_trove_config('DEFAULT/max_accepted_volume_size').with_value('100')
  end

  context 'with less than unlimited' do
    let(:params) { { 'max_instances_per_tenant' => -2 } }

    it { is_expected.to compile.and_raise_error(%r{'max_instances_per_tenant'}) }
  end
end

describe 'trove::logging' do
  let(:params) { { 'debug' => true, 'log_facility' => 'LOG_LOCAL0', 'default_log_levels' => { 'amqp' => 'WARN', 'trove' => 'DEBUG' } } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('DEFAULT/debug').with_value('true')
    is_expected.to contain_trove_config('DEFAULT/syslog_log_facility').with_value('LOG_LOCAL0')
    is_expected.to contain_trove_config('DEFAULT/default_log_levels').with_value('amqp=WARN,trove=DEBUG')
    is_expected.to contain_trove_config('DEFAULT/use_json').with_ensure('absent')
  end

  context 'with half a word' do
    let(:params) { { 'debug' => 'maybe' } }

    it { is_expected.to compile.and_raise_error(%r{'debug'}) }
  end
end

describe 'trove::policy' do
  let(:params) { { 'policies' => { 'instance:create' => 'role:member', 'second' => { 'key' => 'backup:create', 'value' => '!' } } } }

  it 'takes rules in both forms' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('oslo_policy/policy_file').with_value('/etc/trove/policy.yaml')
    content = YAML.safe_load(catalogue.resource('File[/etc/trove/policy.yaml]')[:content])
    expect(content).to eq('instance:create' => 'role:member', 'backup:create' => '!')
  end
end

describe 'trove::cors' do
  let(:pre_condition) { "#{TOLD} include trove::api" }
  let(:params) { { 'allowed_origin' => ['https://one.example.org', 'https://two.example.org'], 'max_age' => 60 } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('cors/allowed_origin')
      .with_value('https://one.example.org,https://two.example.org').that_notifies('Service[trove-api]')
  end
end

describe 'trove::network' do
  let(:params) { { 'management_networks' => %w[one two], 'public_network_id' => 'outside' } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('DEFAULT/management_networks').with_value('one,two')
    is_expected.to contain_trove_config('network/public_network_id').with_value('outside')
  end
end

describe 'trove::config' do
  let(:pre_condition) { "#{TOLD} include trove::api" }
  let(:params) do
    { 'trove_config' => { 'taskmanager/hang_grace' => { 'value' => 30 } },
      'trove_api_paste_ini' => { 'app:healthcheck/disable_file' => { 'value' => '/run/away' } } }
  end

  it 'sets anything, and restarts what may read it' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('taskmanager/hang_grace').with_value('30').that_notifies('Service[trove-api]')
    is_expected.to contain_trove_api_paste_ini('app:healthcheck/disable_file').that_notifies('Service[trove-api]')
  end

  context 'with an option of no section' do
    let(:params) { { 'trove_config' => { 'debug' => { 'value' => true } } } }

    it { is_expected.to compile.and_raise_error(%r{not `section/option`}) }
  end
end
