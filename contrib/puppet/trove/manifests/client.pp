# @summary The command-line client.
#
# @param package_ensure State of the packages.
# @param client_package_name Packages of the system that bring `openstack database`.
class trove::client (
  String[1] $package_ensure                = 'present',
  Array[String[1], 1] $client_package_name = ['python3-openstackclient', 'python3-troveclient'],
) {
  ensure_packages($client_package_name, { 'ensure' => $package_ensure })
}
