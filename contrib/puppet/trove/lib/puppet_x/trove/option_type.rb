# frozen_string_literal: true

module PuppetX
  module Trove
    # What the types of single options have in common: a title `section/option`, a value, and a file.
    module OptionType
      NAME = %r{\A[^/\s\]][^/\]]*/\S+\z}.freeze

      def self.define(type, path)
        type.ensurable

        type.newparam(:name, namevar: true) do
          desc 'Section and option, with a slash between them.'
          validate do |value|
            raise ArgumentError, "#{value.inspect} is not `section/option`" unless NAME.match?(value)
          end
        end

        type.newparam(:secret, boolean: true, parent: Puppet::Parameter::Boolean) do
          desc 'Keep the value out of logs and reports, also when it was not given as Sensitive.'
          defaultto false
        end

        type.newproperty(:value) do
          desc 'The value.'
          validate do |value|
            raise ArgumentError, 'a value is one line' if value.to_s.match?(%r{[\r\n]})
          end
          munge { |value| value.to_s.strip }

          def should_to_s(value)
            resource.secret? ? '[redacted]' : super
          end

          def is_to_s(value) # rubocop:disable Naming/PredicateName -- Puppet's own name
            resource.secret? ? '[redacted]' : super
          end
        end

        type.validate do
          if self[:ensure] != :absent && self[:value].nil?
            raise Puppet::Error, "#{self[:name]}: a value is needed, or `ensure => absent`"
          end
        end

        type.autorequire(:file) { [path, File.dirname(path)] }
      end
    end

    # What their providers have in common; puppetlabs-inifile reads and writes the file.
    module OptionProvider
      def section
        resource[:name].split('/', 2).first
      end

      def setting
        resource[:name].split('/', 2).last
      end

      def separator
        ' = '
      end
    end
  end
end
