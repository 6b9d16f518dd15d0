"""The cloud that is this one machine."""

from trove.cloud.local.cloud import LocalCloud, Processes
from trove.cloud.local.settings import DEFAULT_PACKAGES, HostPackages, LocalCloudSettings

__all__ = ["DEFAULT_PACKAGES", "HostPackages", "LocalCloud", "LocalCloudSettings", "Processes"]
