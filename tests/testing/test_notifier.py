from __future__ import annotations

import pytest

from resilience.core.ports import Notification
from resilience.errors import DeliveryError
from resilience.testing import RecordingNotifier


def notification(status: str) -> Notification:
    return Notification("key", "pager", status, {}, (), 0.0)


async def test_it_fails_as_often_as_told_and_then_keeps_what_it_is_sent() -> None:
    pager = RecordingNotifier("pager", failures=(DeliveryError("down"),))
    with pytest.raises(DeliveryError, match="down"):
        await pager.send(notification("firing"))
    await pager.send(notification("firing"))
    await pager.send(notification("resolved"))
    await pager.close()
    assert pager.statuses == ["firing", "resolved"]
