# @summary What is logged, and where. Without anything, services log to standard error: the journal.
#
# @param debug Log more.
# @param use_syslog Log to syslog.
# @param use_json Log as JSON.
# @param use_journal Log to the journal, with fields.
# @param use_stderr Log to standard error.
# @param log_facility Facility of syslog.
# @param log_dir Directory of log files.
# @param log_file Log file.
# @param log_config_append A file of Python's own configuration of logging.
# @param log_date_format Format of times.
# @param logging_context_format_string Format of lines that belong to a request.
# @param logging_default_format_string Format of other lines.
# @param logging_debug_format_suffix What lines of DEBUG end with.
# @param logging_exception_prefix What each line of an exception begins with.
# @param logging_user_identity_format Format of who asked.
# @param default_log_levels Levels by logger.
# @param publish_errors Publish errors.
# @param fatal_deprecations Treat deprecations as errors.
# @param instance_format Format of an instance.
# @param instance_uuid_format Format of an instance's id.
class trove::logging (
  Optional[Boolean] $debug                               = undef,
  Optional[Boolean] $use_syslog                          = undef,
  Optional[Boolean] $use_json                            = undef,
  Optional[Boolean] $use_journal                         = undef,
  Optional[Boolean] $use_stderr                          = undef,
  Optional[Pattern[/\ALOG_/]] $log_facility              = undef,
  Optional[Stdlib::Absolutepath] $log_dir                = undef,
  Optional[String[1]] $log_file                          = undef,
  Optional[Stdlib::Absolutepath] $log_config_append      = undef,
  Optional[String[1]] $log_date_format                   = undef,
  Optional[String[1]] $logging_context_format_string     = undef,
  Optional[String[1]] $logging_default_format_string     = undef,
  Optional[String[1]] $logging_debug_format_suffix       = undef,
  Optional[String[1]] $logging_exception_prefix          = undef,
  Optional[String[1]] $logging_user_identity_format      = undef,
  Optional[Hash[String[1], String[1]]] $default_log_levels = undef,
  Optional[Boolean] $publish_errors                      = undef,
  Optional[Boolean] $fatal_deprecations                  = undef,
  Optional[String[1]] $instance_format                   = undef,
  Optional[String[1]] $instance_uuid_format              = undef,
) {
  $levels = $default_log_levels ? {
    undef   => undef,
    default => $default_log_levels.map |$logger, $level| { "${logger}=${level}" },
  }

  trove::options { 'logging':
    values => {
      'DEFAULT/debug'                         => $debug,
      'DEFAULT/use_syslog'                    => $use_syslog,
      'DEFAULT/use_json'                      => $use_json,
      'DEFAULT/use_journal'                   => $use_journal,
      'DEFAULT/use_stderr'                    => $use_stderr,
      'DEFAULT/syslog_log_facility'           => $log_facility,
      'DEFAULT/log_dir'                       => $log_dir,
      'DEFAULT/log_file'                      => $log_file,
      'DEFAULT/log_config_append'             => $log_config_append,
      'DEFAULT/log_date_format'               => $log_date_format,
      'DEFAULT/logging_context_format_string' => $logging_context_format_string,
      'DEFAULT/logging_default_format_string' => $logging_default_format_string,
      'DEFAULT/logging_debug_format_suffix'   => $logging_debug_format_suffix,
      'DEFAULT/logging_exception_prefix'      => $logging_exception_prefix,
      'DEFAULT/logging_user_identity_format'  => $logging_user_identity_format,
      'DEFAULT/default_log_levels'            => $levels,
      'DEFAULT/publish_errors'                => $publish_errors,
      'DEFAULT/fatal_deprecations'            => $fatal_deprecations,
      'DEFAULT/instance_format'               => $instance_format,
      'DEFAULT/instance_uuid_format'          => $instance_uuid_format,
    },
  }
}
