# @summary Database and user on PostgreSQL. Uses puppetlabs-postgresql, whose class `postgresql::server` has to be declared.
#
# @param password Password of the user.
# @param dbname Name of the database.
# @param user Name of the user.
# @param encoding Encoding of the database.
# @param privileges Rights of the user.
class trove::db::postgresql (
  Trove::Secret $password,
  String[1] $dbname   = 'trove',
  String[1] $user     = 'trove',
  String[1] $encoding = 'UTF8',
  String[1] $privileges = 'ALL',
) {
  include trove::deps

  $plain = $password ? {
    Sensitive => $password.unwrap,
    default   => $password,
  }

  # The user owns the database: from PostgreSQL 15 on nobody else may make tables in it.
  postgresql::server::db { $dbname:
    user     => $user,
    password => postgresql::postgresql_password($user, $plain),
    owner    => $user,
    encoding => $encoding,
    grant    => $privileges,
    require  => Anchor['trove::db::begin'],
    before   => Anchor['trove::db::end'],
  }
}
