"""Publishes to the topic of the rides example: a raw trip, from which Millrace
computes the features, and a row whose features were computed here. Any Kafka
client will do; this one is kafka-python (see requirements.txt)."""

import argparse
import json
import time
from datetime import datetime, timezone

from kafka import KafkaProducer


def now():
    return datetime.now(timezone.utc).isoformat()


def raw_trip(driver):
    """An event as it happened, in the shape that sources.yaml describes."""
    return {
        "trip_id": f"kafka-python-{driver}-{time.time_ns()}",  # twice the same counts once
        "driver": {"id": driver},
        "fare": 12.5,
        "km": 5,
        "status": "completed",
        "completed_at": now(),
    }


def computed_row(driver):
    """A finished row of view driver_trips: join key, time, and every stored
    column, as `millrace explain driver_trips` lists them."""
    return {
        "driver_id": driver,
        "event_timestamp": now(),
        "last_fare": 99.5,
        "fare_per_km": 9.95,
        "tier": "PLATINUM",
        "last_trip_id": "elsewhere-1",
    }


# What says that a record is a computed row, and of which view.
COMPUTED = [("transform_on_write", b"false"), ("millrace-view", b"driver_trips")]


def key(driver):
    return str(driver).encode()  # a driver's events stay in order, on one partition


def text(row):
    return json.dumps(row, allow_nan=False).encode()  # NaN is no JSON: send None


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--brokers", default="127.0.0.1:9092", help="a broker, host:port")
    args.add_argument("--driver", type=int, default=1, help="the raw trip is of this driver, the computed row of the next")
    args = args.parse_args()

    producer = KafkaProducer(
        bootstrap_servers=args.brokers,
        acks="all",
    )
    driver = args.driver
    sent = [
        producer.send("trips", key=key(driver), value=text(raw_trip(driver))),
        producer.send("trips", key=key(driver + 1), value=text(computed_row(driver + 1)), headers=COMPUTED),
    ]
    for s in sent:
        s.get(timeout=30)  # raises if the brokers did not take it
    producer.close()
    print(f"published a raw trip of driver {driver} and a computed row of driver {driver + 1}")


if __name__ == "__main__":
    main()
