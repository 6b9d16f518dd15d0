"""A real OpenStack as the cloud: Nova servers, Cinder volumes, Neutron ports, Glance images, in the service's own project."""

from trove.cloud.openstack.cloud import OpenStackCloud
from trove.cloud.openstack.settings import OpenStackSettings

__all__ = ["OpenStackCloud", "OpenStackSettings"]
