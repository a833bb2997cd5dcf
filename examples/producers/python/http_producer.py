"""Writes to the rides example through the API: at once and asynchronously, raw
rows, from which Millrace computes the features, and rows whose features were
computed here. The standard library is enough: the API is JSON over HTTP."""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone


def now():
    return datetime.now(timezone.utc).isoformat()


class Millrace:
    def __init__(self, server):
        self.server = server

    def call(self, method, path, body=None, **headers):
        """Sends one request and returns the answer. Only 503 `overloaded` is
        tried again here: then nothing was looked at, so that even rows that
        windows count may be sent once more (docs/client.md has all rules)."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for attempt in range(4):
            request = urllib.request.Request(self.server + path, data=body, method=method, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as e:
                text = e.read().decode()
                if attempt == 3 or e.code != 503 or code(text) != "overloaded":
                    sys.exit(f"{method} {path}: {e.code} {text}")
                time.sleep(float(e.headers.get("Retry-After", 1)))

    def push(self, source, rows, prefer="", **options):
        body = json.dumps({"rows": rows, **options}, allow_nan=False).encode()  # NaN is no JSON: send None
        headers = {"Content_Type": "application/json"}
        if prefer:
            headers["Prefer"] = prefer
        return self.call("POST", "/v1/push/" + source, body, **headers)


def code(text):
    try:
        return json.loads(text)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return ""


def raw(millrace, driver):
    """A row of a source's fields by name. When push returns, any server serves
    what was made of it."""
    pushed = millrace.push("driver_profile_push", [{"driver_id": driver, "rating": 4.75}])
    print(f"stored {pushed['stored']} raw profile of driver {driver}")


def raw_async(millrace, driver):
    """Leaves a row on the source's topic; the receipt says what became of it."""
    trip = {
        "trip_id": f"http-python-{driver}-{time.time_ns()}",  # twice the same counts once
        "driver_id": driver,
        "fare": 12.5,
        "km": 5,
        "status": "completed",
        "completed_at": now(),
    }
    receipt = millrace.push("trips", [trip], prefer="respond-async")["receipt"]
    until = time.monotonic() + 30
    status = {"state": "pending"}
    while status["state"] == "pending" and time.monotonic() < until:
        time.sleep(0.05)
        status = millrace.call("GET", "/v1/receipts/" + receipt)
    if status["state"] != "done":
        sys.exit(f"the trip is {status['state']}: {status.get('errors')}")
    print(f"{status['rows']} raw trip of driver {driver} is {status['state']}")


def computed(millrace, driver):
    """A finished row of a view: join key, time, and every stored column, as
    `millrace explain driver_trips` lists them."""
    row = {
        "driver_id": driver + 1,
        "event_timestamp": now(),
        "last_fare": 99.5,
        "fare_per_km": 9.95,
        "tier": "PLATINUM",
        "last_trip_id": "elsewhere-1",
    }
    pushed = millrace.push("trips", [row], view="driver_trips", transform_on_write=False)
    print(f"stored {pushed['stored']} computed row of driver {driver + 1}")


def many(millrace, driver):
    """One row per line: bad ones are refused alone, and a body may be long."""
    lines = "".join(json.dumps({"driver_id": driver + 2 + i, "rating": 4.5}) + "\n" for i in range(1000))
    pushed = millrace.call("POST", "/v1/push/driver_profile_push", lines.encode(), Content_Type="application/x-ndjson")
    print(f"stored {pushed['stored']} raw profiles from driver {driver + 2} on, refused {pushed['rejected']}")


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--server", default="http://127.0.0.1:6566", help="address of the API")
    args.add_argument("--driver", type=int, default=1, help="raw rows are of this driver, the computed row of the next, many of those after it")
    args = args.parse_args()
    millrace = Millrace(args.server)
    for write in (raw, raw_async, computed, many):
        write(millrace, args.driver)


if __name__ == "__main__":
    main()
