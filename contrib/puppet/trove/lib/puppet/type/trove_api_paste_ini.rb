# frozen_string_literal: true

require 'puppet/parameter/boolean'
require_relative '../../puppet_x/trove/option_type'

Puppet::Type.newtype(:trove_api_paste_ini) do
  @doc = 'An option of /etc/trove/api-paste.ini, the pipeline of the API.'
  PuppetX::Trove::OptionType.define(self, '/etc/trove/api-paste.ini')
end
