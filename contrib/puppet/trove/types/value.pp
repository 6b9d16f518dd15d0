# What an option of trove.conf may be set to. undef takes the option out of the file, so that the service's own default holds.
type Trove::Value = Optional[Variant[String, Sensitive, Boolean, Numeric, Array[Variant[String, Numeric]], Hash[String, String]]]
