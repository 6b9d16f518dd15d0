# @summary Return a value in the notation of oslo.config: lists with commas, dictionaries as `key:value,key:value`.
#
# @param value The value.
function trove::oslo_value(Trove::Value $value) >> Optional[Variant[String, Sensitive]] {
  $value ? {
    Undef     => undef,
    Sensitive => $value,
    Array     => $value.join(','),
    Hash      => $value.map |$key, $each| { "${key}:${each}" }.join(','),
    default   => String($value),
  }
}
