"""The two servers of the examples, over HTTP with the standard library."""

import argparse
import json
import sys
import urllib.error
import urllib.request


def post(url, body, timeout_s=2.0):
    """Sends JSON and returns the JSON of the answer."""
    call = urllib.request.Request(
        url,
        data=json.dumps(body, allow_nan=False).encode(),
        headers={"Content-Type": "application/json", "X-Request-Timeout": f"{int(timeout_s * 1000)}ms"},
    )
    try:
        with urllib.request.urlopen(call, timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        sys.exit(f"{url}: {e.code} {e.read().decode()}")
    except OSError as e:
        sys.exit(f"{url}: {e}; does the server run?")


def infer(model, last_amounts, orders_24h):
    """Asks the model fraud for the scores of some users, in one call."""
    rows = len(last_amounts)
    answer = post(f"{model}/v2/models/fraud/versions/1/infer", {"inputs": [
        {"name": "last_amount", "datatype": "FP64", "shape": [rows, 1], "data": last_amounts},
        {"name": "orders_24h", "datatype": "INT64", "shape": [rows, 1], "data": orders_24h},
    ]})
    return next(t["data"] for t in answer["outputs"] if t["name"] == "score")


def online_features(server, users, *features):
    """Reads features through Feast's form, and returns a list per feature."""
    answer = post(f"{server}/get-online-features", {"features": features, "entities": {"user_id": users}})
    columns = dict(zip(answer["metadata"]["feature_names"], answer["results"]))
    return [columns[f.split(":")[1]]["values"] for f in features]


def write_predictions(server, users, predictions):
    """Writes one column back, and waits until it can be read."""
    post(f"{server}/write-to-online-store", {
        "feature_view_name": "user_data", "df": {"user_id": users, "model_predictions": predictions},
    })


def arguments(description):
    """Returns the parser of what all examples are told."""
    args = argparse.ArgumentParser(description=description)
    args.add_argument("--server", default="http://127.0.0.1:6566", help="address of Millrace's API")
    args.add_argument("--model", default="http://127.0.0.1:8080", help="address of the model server")
    args.add_argument("--user", type=int, nargs="+", default=[7], help="whose predictions")
    return args
