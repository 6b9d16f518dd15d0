"""Valkey as its tenants have it."""

from tests.support.dialects import Dialect
from tests.support.dialects.redis import RedisKin

DIALECT: Dialect = RedisKin("valkey")
