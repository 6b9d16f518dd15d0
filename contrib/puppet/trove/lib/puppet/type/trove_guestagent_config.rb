# frozen_string_literal: true

require 'puppet/parameter/boolean'
require_relative '../../puppet_x/trove/option_type'

Puppet::Type.newtype(:trove_guestagent_config) do
  @doc = 'An option of /etc/trove/conf.d/operator.conf, which a guest agent reads beside what the cloud gives it.'
  PuppetX::Trove::OptionType.define(self, '/etc/trove/conf.d/operator.conf')
end
