"""The message bus: typed RPC, sealed per instance."""
