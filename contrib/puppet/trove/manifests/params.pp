# @summary What is the same on every machine.
class trove::params {
  $user        = 'trove'
  $group       = 'trove'
  $config_dir  = '/etc/trove'
  $state_dir   = '/var/lib/trove'
  $log_dir     = '/var/log/trove'
  $unit_dir    = '/etc/systemd/system'
  $config_file = "${config_dir}/trove.conf"
  $paste_file  = "${config_dir}/api-paste.ini"
  $policy_file = "${config_dir}/policy.yaml"
  $key_file    = "${config_dir}/secret.key"
}
