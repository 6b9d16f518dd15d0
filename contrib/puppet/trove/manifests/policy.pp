# @summary Who may do what, where that differs from the rules that come with Trove.
#
# @param policies Rules: either `{ 'instance:create' => 'role:member' }`, or
#   `{ 'any name' => { 'key' => 'instance:create', 'value' => 'role:member' } }` as other OpenStack modules have them.
# @param policy_path Path of the file.
# @param policy_default_rule Rule that holds where none is found.
# @param policy_dirs Directory of more files.
# @param enforce_new_defaults Whether old defaults no longer hold.
# @param purge_config Whether a file that has no rules left is emptied.
class trove::policy (
  Hash[String[1], Variant[String, Struct[{ key => String[1], value => String }]]] $policies = {},
  Stdlib::Absolutepath $policy_path                                                        = '/etc/trove/policy.yaml',
  Optional[String[1]] $policy_default_rule                                                 = undef,
  Optional[Stdlib::Absolutepath] $policy_dirs                                              = undef,
  Optional[Boolean] $enforce_new_defaults                                                  = undef,
  Boolean $purge_config                                                                    = false,
) {
  include trove

  trove::options { 'policy':
    service => 'trove-api',
    values  => {
      'oslo_policy/policy_file'          => $policy_path,
      'oslo_policy/policy_default_rule'  => $policy_default_rule,
      'oslo_policy/policy_dirs'          => $policy_dirs,
      'oslo_policy/enforce_new_defaults' => $enforce_new_defaults,
    },
  }

  $pairs = $policies.map |$name, $rule| {
    $rule ? {
      String  => [$name, $rule],
      default => [$rule['key'], $rule['value']],
    }
  }
  file { $policy_path:
    ensure  => file,
    owner   => 'root',
    group   => $trove::params::group,
    mode    => '0640',
    content => to_yaml(Hash($pairs)),
    replace => $purge_config or !empty($policies),
    require => Anchor['trove::config::begin'],
    before  => Anchor['trove::config::end'],
  }
  File[$policy_path] ~> Trove::Service<| title == 'trove-api' |>
}
