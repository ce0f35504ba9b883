"""Times as a person says them."""

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """Seconds as a person says them: 0.4 s, 12 s, 5 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def ago(then: datetime) -> str:
    """How long that is past, in its largest unit."""
    seconds = (datetime.now(UTC) - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"
