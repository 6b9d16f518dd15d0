# A URL in an option that is not secret.
type Trove::Url = Pattern[/\A[a-z][a-z0-9+.-]*:\/\/\S+\z/]
