# @summary The networks of instances.
#
# @param management_networks Networks on which every server gets a port of the service's.
# @param management_security_groups Ids of the security groups of those ports.
# @param public_network_id External network of floating addresses.
# @param default_network Network of instances that name none.
# @param trove_security_group_name_prefix What names of security groups begin with.
# @param trove_security_group_rule_cidr Who may connect to an instance that names nobody.
class trove::network (
  Optional[Variant[String[1], Array[String[1]]]] $management_networks        = undef,
  Optional[Variant[String[1], Array[String[1]]]] $management_security_groups = undef,
  Optional[String[1]] $public_network_id                                     = undef,
  Optional[String[1]] $default_network                                       = undef,
  Optional[String[1]] $trove_security_group_name_prefix                      = undef,
  Optional[String[1]] $trove_security_group_rule_cidr                        = undef,
) {
  trove::options { 'network':
    values => {
      'DEFAULT/management_networks'              => $management_networks,
      'DEFAULT/management_security_groups'       => $management_security_groups,
      'DEFAULT/trove_security_group_name_prefix' => $trove_security_group_name_prefix,
      'DEFAULT/trove_security_group_rule_cidr'   => $trove_security_group_rule_cidr,
      'network/public_network_id'                => $public_network_id,
      'network/default_network'                  => $default_network,
    },
  }
}
