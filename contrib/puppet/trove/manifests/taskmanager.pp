# @summary trove-taskmanager, which creates, changes and deletes instances.
#
# @param manage_service Whether Puppet starts, stops and restarts it.
# @param enabled Whether it is to run.
# @param instances How many task managers run on this machine.
# @param workers Operations that one task manager runs at the same time.
# @param lock_url URL of the locks that all task managers share; may hold a password. Beyond one machine it has to be set.
# @param lease Seconds for which a task manager keeps what it has in hand after its last sign of life.
# @param max_attempts How often an operation may be begun whose runner dies.
# @param keep_finished_days Days finished operations are kept.
# @param stop_timeout Seconds running steps get to end.
# @param reconciler_interval Seconds between two rounds of the reconciler; 0 makes none.
# @param reconciler_batch Servers compared in one round.
# @param reconciler_vanished_percent Share of missing servers from which the cloud is not believed.
# @param usage_timeout Seconds a new instance may take.
# @param restore_usage_timeout Seconds the creation from a backup may take.
# @param state_change_wait_time Seconds a restart may take.
# @param resize_time_out Seconds a resize may take.
# @param failover_time_out Seconds a promotion may take.
# @param volume_time_out Seconds the making of a volume may take.
# @param reboot_time_out Seconds the start of a stopped server may take.
# @param revert_time_out Seconds that undoing may take.
# @param server_delete_time_out Seconds a deletion may take.
# @param exists_notifications Tell periodically of every instance that it exists.
# @param exists_notification_interval Seconds between two of them.
# @param quota_notification_interval Seconds between two notifications of quotas.
# @param notification_service_id Service ids in notifications, by datastore manager.
# @param cinder_volume_type Volume type of instances that name none.
# @param online_volume_resize Whether volumes may grow under a running server.
# @param use_nova_server_config_drive Give servers a config drive.
# @param nova_keypair Key pair for entering servers by SSH.
# @param cloudinit_location Directory of additional cloud-configs.
class trove::taskmanager (
  Boolean $manage_service                               = true,
  Boolean $enabled                                      = true,
  Integer[1] $instances                                 = 1,
  Optional[Integer[1]] $workers                         = undef,
  Optional[Trove::Secret] $lock_url                     = undef,
  Optional[Numeric] $lease                              = undef,
  Optional[Integer[1]] $max_attempts                    = undef,
  Optional[Integer[0]] $keep_finished_days              = undef,
  Optional[Numeric] $stop_timeout                       = undef,
  Optional[Numeric] $reconciler_interval                = undef,
  Optional[Integer[1]] $reconciler_batch                = undef,
  Optional[Integer[0, 100]] $reconciler_vanished_percent = undef,
  Optional[Integer[1]] $usage_timeout                   = undef,
  Optional[Numeric] $restore_usage_timeout              = undef,
  Optional[Integer[1]] $state_change_wait_time          = undef,
  Optional[Integer[1]] $resize_time_out                 = undef,
  Optional[Integer[1]] $failover_time_out               = undef,
  Optional[Integer[1]] $volume_time_out                 = undef,
  Optional[Integer[1]] $reboot_time_out                 = undef,
  Optional[Integer[1]] $revert_time_out                 = undef,
  Optional[Integer[1]] $server_delete_time_out          = undef,
  Optional[Boolean] $exists_notifications               = undef,
  Optional[Integer[1]] $exists_notification_interval    = undef,
  Optional[Integer[0]] $quota_notification_interval     = undef,
  Optional[Hash[String[1], String[1]]] $notification_service_id = undef,
  Optional[String[1]] $cinder_volume_type               = undef,
  Optional[Boolean] $online_volume_resize               = undef,
  Boolean $use_nova_server_config_drive                 = true,
  Optional[String[1]] $nova_keypair                     = undef,
  Optional[Stdlib::Absolutepath] $cloudinit_location    = undef,
) {
  include trove
  include trove::db

  trove::options { 'trove-taskmanager':
    service => 'trove-taskmanager',
    values  => {
      'taskmanager/workers'            => $workers,
      'taskmanager/lock_url'           => trove::secret($lock_url),
      'taskmanager/lease'              => $lease,
      'taskmanager/max_attempts'       => $max_attempts,
      'taskmanager/keep_finished_days' => $keep_finished_days,
      'taskmanager/stop_timeout'       => $stop_timeout,
      'reconciler/interval'            => $reconciler_interval,
      'reconciler/batch'               => $reconciler_batch,
      'reconciler/vanished_percent'    => $reconciler_vanished_percent,
    },
  }

  # Operations are begun by the API, with their deadlines: it reads these, too.
  trove::options { 'operations':
    values => {
      'DEFAULT/usage_timeout'                => $usage_timeout,
      'DEFAULT/restore_usage_timeout'        => $restore_usage_timeout,
      'DEFAULT/state_change_wait_time'       => $state_change_wait_time,
      'DEFAULT/resize_time_out'              => $resize_time_out,
      'DEFAULT/failover_time_out'            => $failover_time_out,
      'DEFAULT/volume_time_out'              => $volume_time_out,
      'DEFAULT/reboot_time_out'              => $reboot_time_out,
      'DEFAULT/revert_time_out'              => $revert_time_out,
      'DEFAULT/server_delete_time_out'       => $server_delete_time_out,
      'DEFAULT/exists_notifications'         => $exists_notifications,
      'DEFAULT/exists_notification_interval' => $exists_notification_interval,
      'DEFAULT/quota_notification_interval'  => $quota_notification_interval,
      'DEFAULT/notification_service_id'      => $notification_service_id,
      'DEFAULT/cinder_volume_type'           => $cinder_volume_type,
      'DEFAULT/online_volume_resize'         => $online_volume_resize,
      'DEFAULT/use_nova_server_config_drive' => $use_nova_server_config_drive,
      'DEFAULT/nova_keypair'                 => $nova_keypair,
      'DEFAULT/cloudinit_location'           => $cloudinit_location,
    },
  }

  trove::service { 'trove-taskmanager':
    manage_service => $manage_service,
    enabled        => $enabled,
    instances      => Integer[1, $instances].map |$each| { String($each) },
  }
}
