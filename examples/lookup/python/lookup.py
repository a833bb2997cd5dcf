"""Asks for the features of a driver, as a model service does before it
predicts. The standard library is enough: the API is JSON over HTTP."""

import argparse
import json
import sys
import urllib.error
import urllib.request


def lookup(server, request, timeout_s=2.0):
    """Returns the answer to a request of /v1/lookup (docs/api.md)."""
    call = urllib.request.Request(
        server + "/v1/lookup",
        data=json.dumps(request, allow_nan=False).encode(),
        headers={"Content-Type": "application/json", "X-Request-Timeout": f"{int(timeout_s * 1000)}ms"},
    )
    try:
        with urllib.request.urlopen(call, timeout=timeout_s) as answer:
            return json.load(answer)  # integers of any size stay exact in Python
    except urllib.error.HTTPError as e:
        sys.exit(f"look features up: {e.code} {e.read().decode()}")


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--server", default="http://127.0.0.1:6566", help="address of the API")
    args.add_argument("--driver", type=int, default=1001, help="whose features")
    args = args.parse_args()

    answer = lookup(args.server, {
        "service": "eta_v1",
        "entities": [{"driver_id": args.driver}],
        "context": {"pickup_km": 3.2},
        "include": ["status", "age_ms"],
    })
    row = answer["rows"][0]
    for feature, status, value in zip(answer["features"], row["status"], row["values"]):
        print(f"{feature:<32} {status:<16} {json.dumps(value)}")
    last = answer["features"].index("driver_trips:last_fare")
    if row["values"][last] is None:
        print("no trip is known of this driver")  # a model has a value of its own for this
    else:
        print(f"the last fare is {row['values'][last]}, {row['age_ms'][last]} ms old")


if __name__ == "__main__":
    main()
