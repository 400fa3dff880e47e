"""What Schemathesis can't make up from the description, and what would take the day."""

import os

import schemathesis

CURSOR_NAMES = ("after", "last_event_id", "lastEventId", "lastEventID")
# One that the relay gave out, that of a reset, and rows' ids.
CURSORS = (os.environ["ROWCAST_TEST_CURSOR"], "1.0", "0", "1")


@schemathesis.hook
def map_query(context, query):
    if not query:
        return query
    # A long poll of nothing takes as long as it is told to. One second is enough; bad values are left as they are.
    wait = str(query.get("wait", ""))
    if wait.isdecimal() and 1 < int(wait) <= 60:
        del query["wait"]
    # Cursors are opaque: a text that was made up is none, so that two in three become good ones.
    for name in CURSOR_NAMES:
        text = query.get(name)
        if isinstance(text, str) and len(text) % 3:
            query[name] = CURSORS[len(text) % len(CURSORS)]
    return query
