# @summary Return a secret as trove.conf must have it.
#
# oslo.config takes `$` for the name of another option, so it is doubled. What comes back is Sensitive in any case.
#
# @param value The secret.
function trove::secret(Optional[Trove::Secret] $value) >> Optional[Sensitive[String]] {
  $plain = $value ? {
    Sensitive => $value.unwrap,
    default   => $value,
  }
  $plain ? {
    undef   => undef,
    default => Sensitive(regsubst($plain, '\$', '$$', 'G')),
  }
}
