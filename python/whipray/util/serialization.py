"""Where Ray keeps the registration of serializers."""

from whipray._private.serialization import deregister_serializer, register_serializer

__all__ = ["deregister_serializer", "register_serializer"]
