# @summary What a project may have unless it has a quota of its own; -1 is unlimited.
#
# @param max_instances_per_tenant Instances.
# @param max_volumes_per_tenant GiB of volumes.
# @param max_backups_per_tenant Backups.
# @param max_ram_per_tenant MiB of memory.
# @param max_accepted_volume_size Largest size of one volume, in GiB.
# @param max_pending_operations Unfinished operations of all projects; 0 is unlimited.
class trove::quota (
  Optional[Integer[-1]] $max_instances_per_tenant = undef,
  Optional[Integer[-1]] $max_volumes_per_tenant   = undef,
  Optional[Integer[-1]] $max_backups_per_tenant   = undef,
  Optional[Integer[-1]] $max_ram_per_tenant       = undef,
  Optional[Integer[1]] $max_accepted_volume_size  = undef,
  Optional[Integer[0]] $max_pending_operations    = undef,
) {
  trove::options { 'quota':
    values => {
      'DEFAULT/max_instances_per_tenant' => $max_instances_per_tenant,
      'DEFAULT/max_volumes_per_tenant'   => $max_volumes_per_tenant,
      'DEFAULT/max_backups_per_tenant'   => $max_backups_per_tenant,
      'DEFAULT/max_ram_per_tenant'       => $max_ram_per_tenant,
      'DEFAULT/max_accepted_volume_size' => $max_accepted_volume_size,
      'DEFAULT/max_pending_operations'   => $max_pending_operations,
    },
  }
}
