# @summary Which web pages of other origins may use the API.
#
# @param allowed_origin Origins; without them none may.
# @param allow_credentials Whether requests may include credentials.
# @param expose_headers Headers that pages may see.
# @param max_age Seconds a browser may remember the answer.
# @param allow_methods Methods pages may use.
# @param allow_headers Headers pages may send.
class trove::cors (
  Optional[Variant[String[1], Array[String[1]]]] $allowed_origin = undef,
  Optional[Boolean] $allow_credentials                           = undef,
  Optional[Variant[String[1], Array[String[1]]]] $expose_headers = undef,
  Optional[Integer[0]] $max_age                                  = undef,
  Optional[Variant[String[1], Array[String[1]]]] $allow_methods  = undef,
  Optional[Variant[String[1], Array[String[1]]]] $allow_headers  = undef,
) {
  trove::options { 'cors':
    service => 'trove-api',
    values  => {
      'cors/allowed_origin'    => $allowed_origin,
      'cors/allow_credentials' => $allow_credentials,
      'cors/expose_headers'    => $expose_headers,
      'cors/max_age'           => $max_age,
      'cors/allow_methods'     => $allow_methods,
      'cors/allow_headers'     => $allow_headers,
    },
  }
}
