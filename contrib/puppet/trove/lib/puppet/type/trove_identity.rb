# frozen_string_literal: true

Puppet::Type.newtype(:trove_identity) do
  @doc = "The service in Keystone: its user with a project and roles, its entry in the catalogue, its endpoints.
    What is missing or different is put right; nothing is removed."

  newproperty(:ensure) do
    desc 'Whether Keystone has all of it.'
    newvalues(:present)
    defaultto :present

    def retrieve
      @differences = provider.differences
      @differences.empty? ? :present : :incomplete
    end

    def set(_value)
      provider.settle
    end

    def change_to_s(_current, _wanted)
      "settled #{@differences.join(', ')}"
    end
  end

  newparam(:name, namevar: true) do
    desc 'Any name.'
  end

  newparam(:password) do
    desc "The user's password."
  end

  newparam(:wanted) do
    desc 'What there is to be, as lib/puppet_x/trove/identity.py reads it.'
    validate { |value| raise ArgumentError, 'wanted: a hash is expected' unless value.is_a?(Hash) }
  end

  newparam(:cloud) do
    desc "Name of the administrator's cloud in `clouds_file`."
  end

  newparam(:clouds_file) do
    desc 'A clouds.yaml.'
  end

  newparam(:python) do
    desc 'A Python that has openstacksdk.'
  end

  autorequire(:file) { [self[:clouds_file]] }

  # Puppet itself redacts properties only, and would warn of the password.
  def set_sensitive_parameters(names)
    parameter(:password).sensitive = true if names.include?(:password) && parameter(:password)
    super(names - [:password])
  end
end
