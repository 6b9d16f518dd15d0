# @summary Where backups and logs go; with the driver `file` also trove-objectstore, through which guests reach it.
#
# @param driver What the object store is.
# @param manage_service Whether Puppet starts, stops and restarts trove-objectstore.
# @param enabled Whether it is to run; only with the driver `file` there is anything to serve.
# @param path Directory of the driver `file`.
# @param endpoint URL at which guests reach trove-objectstore.
# @param bind_host Address it listens on.
# @param bind_port Port it listens on.
# @param swift_account In which account of Swift objects are.
# @param s3_endpoint URL of S3.
# @param s3_region Region of S3.
# @param s3_bucket Bucket of all objects.
# @param s3_access_key Access key.
# @param s3_secret_key Secret key.
# @param s3_ca_file Certificates of the authorities to be trusted.
# @param timeout Seconds to wait for an answer.
# @param backup_swift_container Container of backups that name none.
# @param backup_segment_max_size Bytes of one object of a backup.
# @param backup_encryption Encrypt new backups.
# @param backup_time_out Seconds one backup may take.
# @param backup_stall_time_out Seconds without progress after which a backup fails.
# @param guest_log_container_name Container of published logs.
# @param guest_log_expiry Seconds after which Swift removes them.
# @param guest_log_limit Most bytes of one object of a log.
class trove::objectstore (
  Enum['swift', 's3', 'file'] $driver                    = 'swift',
  Boolean $manage_service                                = true,
  Boolean $enabled                                       = true,
  Optional[Stdlib::Absolutepath] $path                   = undef,
  Optional[Trove::Url] $endpoint                         = undef,
  Optional[String[1]] $bind_host                         = undef,
  Optional[Stdlib::Port] $bind_port                      = undef,
  Optional[Enum['project', 'service']] $swift_account    = undef,
  Optional[Trove::Url] $s3_endpoint                      = undef,
  Optional[String[1]] $s3_region                         = undef,
  Optional[String[1]] $s3_bucket                         = undef,
  Optional[Trove::Secret] $s3_access_key                 = undef,
  Optional[Trove::Secret] $s3_secret_key                 = undef,
  Optional[Stdlib::Absolutepath] $s3_ca_file             = undef,
  Optional[Numeric] $timeout                             = undef,
  Optional[String[1]] $backup_swift_container            = undef,
  Optional[Integer[65536]] $backup_segment_max_size      = undef,
  Optional[Boolean] $backup_encryption                   = undef,
  Optional[Numeric] $backup_time_out                     = undef,
  Optional[Numeric] $backup_stall_time_out               = undef,
  Optional[String[1]] $guest_log_container_name          = undef,
  Optional[Integer[60]] $guest_log_expiry                = undef,
  Optional[Integer[1024]] $guest_log_limit               = undef,
) {
  include trove

  trove::options { 'objectstore':
    values => {
      'objectstore/driver'               => $driver,
      'objectstore/path'                 => $path,
      'objectstore/endpoint'             => $endpoint,
      'objectstore/bind_host'            => $bind_host,
      'objectstore/bind_port'            => $bind_port,
      'objectstore/swift_account'        => $swift_account,
      'objectstore/s3_endpoint'          => $s3_endpoint,
      'objectstore/s3_region'            => $s3_region,
      'objectstore/s3_bucket'            => $s3_bucket,
      'objectstore/s3_access_key'        => trove::secret($s3_access_key),
      'objectstore/s3_secret_key'        => trove::secret($s3_secret_key),
      'objectstore/s3_ca_file'           => $s3_ca_file,
      'objectstore/timeout'              => $timeout,
      'DEFAULT/backup_swift_container'   => $backup_swift_container,
      'DEFAULT/backup_segment_max_size'  => $backup_segment_max_size,
      'DEFAULT/backup_encryption'        => $backup_encryption,
      'DEFAULT/backup_time_out'          => $backup_time_out,
      'DEFAULT/backup_stall_time_out'    => $backup_stall_time_out,
      'DEFAULT/guest_log_container_name' => $guest_log_container_name,
      'DEFAULT/guest_log_expiry'         => $guest_log_expiry,
      'DEFAULT/guest_log_limit'          => $guest_log_limit,
    },
  }

  if $driver == 'file' {
    trove::service { 'trove-objectstore':
      manage_service => $manage_service,
      enabled        => $enabled,
      writable       => any2array($path),
    }
  }
}
