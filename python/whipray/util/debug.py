"""Where Ray keeps `log_once`."""

from whipray.util import disable_log_once_globally, enable_periodic_logging, log_once

__all__ = ["disable_log_once_globally", "enable_periodic_logging", "log_once"]
