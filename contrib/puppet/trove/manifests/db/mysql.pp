# @summary Database and user on MariaDB or MySQL. Uses puppetlabs-mysql, which finds its own way in by ~root/.my.cnf.
#
# @param password Password of the user.
# @param dbname Name of the database.
# @param user Name of the user.
# @param host Host that the user connects from.
# @param allowed_hosts More of them.
# @param charset Character set of the database.
# @param collate Collation of the database.
class trove::db::mysql (
  Trove::Secret $password,
  String[1] $dbname                                                  = 'trove',
  String[1] $user                                                    = 'trove',
  String[1] $host                                                    = '127.0.0.1',
  Optional[Variant[String[1], Array[String[1]]]] $allowed_hosts      = undef,
  String[1] $charset                                                 = 'utf8mb4',
  String[1] $collate                                                 = 'utf8mb4_general_ci',
) {
  include trove::deps

  $plain = $password ? {
    Sensitive => $password.unwrap,
    default   => $password,
  }
  $hosts = unique([$host] + any2array($allowed_hosts))

  mysql_database { $dbname:
    ensure  => present,
    charset => $charset,
    collate => $collate,
    require => Anchor['trove::db::begin'],
    before  => Anchor['trove::db::end'],
  }
  $hosts.each |$each| {
    mysql_user { "${user}@${each}":
      ensure        => present,
      password_hash => Sensitive(mysql::password($plain)),
      require       => Anchor['trove::db::begin'],
    }
    mysql_grant { "${user}@${each}/${dbname}.*":
      ensure     => present,
      user       => "${user}@${each}",
      table      => "${dbname}.*",
      privileges => ['ALL'],
      require    => [Mysql_database[$dbname], Mysql_user["${user}@${each}"]],
      before     => Anchor['trove::db::end'],
    }
  }
}
