# Which of a service's endpoints in Keystone's catalogue is used.
type Trove::Endpointtype = Enum['publicURL', 'internalURL', 'adminURL']
