# frozen_string_literal: true

require 'spec_helper'

describe 'trove::db' do
  let(:params) { { 'database_connection' => sensitive('mysql+pymysql://trove:secret@db/trove') } }

  it do
    is_expected.to compile.with_all_deps
    expect(option('database/connection')).to eq ['mysql+pymysql://trove:secret@db/trove', true]
  end
end

describe 'trove::db::sync' do
  it 'runs between the database and the services' do
    is_expected.to compile.with_all_deps
    is_expected.to contain_exec('trove-manage-db-upgrade')
      .with('command' => '/opt/trove/bin/trove-manage db upgrade', 'user' => 'trove', 'timeout' => 300)
      .that_requires('Anchor[trove::db::end]').that_notifies('Anchor[trove::service::begin]')
  end
end

describe 'trove::db::mysql' do
  let(:params) { { 'password' => sensitive('secret'), 'allowed_hosts' => ['10.0.0.%'] } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_mysql_database('trove').with('charset' => 'utf8mb4', 'collate' => 'utf8mb4_general_ci')
    ['127.0.0.1', '10.0.0.%'].each do |host|
      is_expected.to contain_mysql_user("trove@#{host}")
      is_expected.to contain_mysql_grant("trove@#{host}/trove.*").with_privileges(['ALL'])
      expect(catalogue.resource("Mysql_user[trove@#{host}]").sensitive_parameters).to include :password_hash
    end
  end

  context 'without a password' do
    let(:params) { {} }

    it { is_expected.to compile.and_raise_error(%r{'password'}) }
  end
end

describe 'trove::db::postgresql' do
  # Debian's own version of that module is older than Debian.
  let(:pre_condition) { "class { 'postgresql::globals': version => '15' } class { 'postgresql::server': }" }
  let(:params) { { 'password' => sensitive('secret') } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_postgresql__server__db('trove').with('user' => 'trove', 'owner' => 'trove', 'encoding' => 'UTF8')
  end
end

describe 'trove::keystone::auth' do
  let(:params) { { 'password' => sensitive('secret'), 'region' => 'North', 'public_url' => 'https://db.example.org/v1.0/%(tenant_id)s' } }

  it do
    is_expected.to compile.with_all_deps
    identity = catalogue.resource('Trove_identity[trove]')
    expect(identity.sensitive_parameters).to include :password
    expect(identity[:wanted]['user']).to include('name' => 'trove', 'project' => 'services', 'roles' => %w[admin service])
    expect(identity[:wanted]['service']).to include('type' => 'database')
    expect(identity[:wanted]['endpoints']).to include('region' => 'North', 'public' => 'https://db.example.org/v1.0/%(tenant_id)s')
  end

  context 'with endpoints alone' do
    let(:params) { super().merge('configure_user' => false, 'configure_service' => false) }

    it { expect(catalogue.resource('Trove_identity[trove]')[:wanted].keys).to contain_exactly('service_name', 'service_type', 'endpoints') }
  end

  context 'with a URL that is none' do
    let(:params) { super().merge('admin_url' => 'db.example.org') }

    it { is_expected.to compile.and_raise_error(%r{'admin_url'}) }
  end
end

describe 'trove::keystone::authtoken' do
  let(:pre_condition) { TOLD.sub(%r{^class \{ 'trove::keystone::authtoken'.*$}, '') }
  let(:params) { { 'password' => 'secret', 'memcached_servers' => ['a:11211', 'b:11211'], 'memcache_secret_key' => 'hidden' } }

  it do
    is_expected.to compile.with_all_deps
    is_expected.to contain_trove_config('keystone_authtoken/memcached_servers').with_value('a:11211,b:11211')
    expect(option('keystone_authtoken/memcache_secret_key')).to eq ['hidden', true]
    expect(option('keystone_authtoken/password')).to eq ['secret', true]
  end

  context 'with a strategy that there is not' do
    let(:params) { super().merge('memcache_security_strategy' => 'ROT13') }

    it { is_expected.to compile.and_raise_error(%r{'memcache_security_strategy'}) }
  end
end

describe 'trove::api::service_credentials' do
  let(:params) { { 'password' => sensitive('sec$ret'), 'auth_url' => 'https://keystone.example.org/v3', 'region_name' => 'North' } }

  it do
    is_expected.to compile.with_all_deps
    expect(option('service_credentials/password')).to eq ['sec$$ret', true]
    is_expected.to contain_trove_config('service_credentials/region_name').with_value('North')
  end
end
