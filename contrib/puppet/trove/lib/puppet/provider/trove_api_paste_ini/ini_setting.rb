# frozen_string_literal: true

require_relative '../../../puppet_x/trove/option_type'

Puppet::Type.type(:trove_api_paste_ini).provide(:ini_setting, parent: Puppet::Type.type(:ini_setting).provider(:ruby)) do
  include PuppetX::Trove::OptionProvider

  def self.file_path
    '/etc/trove/api-paste.ini'
  end
end
