"""The name under which operators' api-paste.ini files know the API's factory."""

from trove.api.app import app_factory

__all__ = ["app_factory"]
