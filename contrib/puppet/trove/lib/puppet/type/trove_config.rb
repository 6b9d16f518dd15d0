# frozen_string_literal: true

require 'puppet/parameter/boolean'
require_relative '../../puppet_x/trove/option_type'

Puppet::Type.newtype(:trove_config) do
  @doc = 'An option of /etc/trove/trove.conf, which all services read.'
  PuppetX::Trove::OptionType.define(self, '/etc/trove/trove.conf')
end
