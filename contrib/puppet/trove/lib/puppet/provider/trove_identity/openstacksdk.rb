# frozen_string_literal: true

require 'json'
require 'open3'

Puppet::Type.type(:trove_identity).provide(:openstacksdk) do
  desc 'Asks and changes Keystone through openstacksdk.'

  PROGRAM = File.expand_path('../../../puppet_x/trove/identity.py', __dir__)

  def differences
    # With `noop`, or before a first run, there may be nothing yet to ask with.
    return ['everything'] unless File.executable?(resource[:python])

    run(false)
  end

  def settle
    run(true)
  end

  private

  # The request goes through a pipe: arguments and environments can be seen by others.
  def run(apply)
    request = {
      'cloud' => resource[:cloud],
      'clouds_file' => resource[:clouds_file],
      'password' => resource[:password],
      'wanted' => resource[:wanted],
      'apply' => apply,
    }
    out, complaint, status = Open3.capture3(resource[:python], '-I', PROGRAM, stdin_data: JSON.generate(request))
    raise Puppet::Error, "Keystone: #{complaint.strip.lines.last(3).join.strip}" unless status.success?

    JSON.parse(out).fetch('differences')
  end
end
