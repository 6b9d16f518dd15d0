# @summary The state database.
#
# @param database_connection SQLAlchemy's URL: `mysql+pymysql://…` or `postgresql+psycopg://…`.
class trove::db (
  Optional[Trove::Secret] $database_connection = undef,
) {
  trove::options { 'database':
    values => {
      'database/connection' => trove::secret($database_connection),
    },
  }
}
