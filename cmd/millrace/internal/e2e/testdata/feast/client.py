"""What a program does with Feast's own client, unmodified, against Millrace.

usage: client.py URL FOLDER. Says what is wrong and ends with 1.
"""

import sys
import warnings
from datetime import datetime, timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

warnings.simplefilter("ignore")
url, folder = sys.argv[1:]
now = datetime.utcnow().replace(microsecond=0)  # Feast's times have no zone


def pushed(name):
    files = FileSource(name=name + "_files", path=folder + "/none.parquet", timestamp_field="event_timestamp")
    return PushSource(name=name, batch_source=files)


driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    schema=[Field(name="conv_rate", dtype=Float64), Field(name="trips", dtype=Int64)],
    source=pushed("trips"),
)
# Of the view that also has predictions the registry knows these alone: the
# client wants every column that it knows in a frame.
user_data = FeatureView(name="user_data", entities=[driver], schema=[Field(name="model_predictions", dtype=Float64)], source=pushed("users"))
fraud = FeatureView(name="fraud", entities=[driver], schema=[Field(name="score", dtype=Float64)], source=pushed("fraud_batch"))


@on_demand_feature_view(
    sources=[stats, RequestSource(name="quote", schema=[Field(name="fare", dtype=Float64)])],
    schema=[Field(name="expected", dtype=Float64)],
    mode="python",
)
def quoted(inputs):  # for the registry: Millrace computes its own definition
    return {"expected": [f * r for f, r in zip(inputs["fare"], inputs["conv_rate"])]}


service = FeatureService(name="scoring", features=[stats, fraud])
store = FeatureStore(
    config=RepoConfig(
        project="p",
        provider="local",
        registry=folder + "/registry.db",
        online_store={"type": "remote", "path": url},
        entity_key_serialization_version=3,
    )
)
store.apply([driver, stats, user_data, fraud, quoted, service])


def read(features, **entities):
    rows = [dict(zip(entities, values)) for values in zip(*entities.values())]
    got = store.get_online_features(features=features, entity_rows=rows).to_dict()
    return {name: values for name, values in got.items() if name not in entities}


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got}, want {want}")


def frame(at, **columns):
    n = len(columns["driver_id"])
    return pd.DataFrame({**columns, "event_timestamp": [at + timedelta(microseconds=i) for i in range(n)]})


expect("nothing is stored", read(["driver_stats:trips"], driver_id=[1, 2]), {"trips": [None, None]})
store.push("trips", frame(now, driver_id=[1, 2], conv_rate=[0.5, 0.25], trips=[7, 8]))
expect("pushed", read(["driver_stats:trips", "driver_stats:conv_rate"], driver_id=[2, 1, 3]), {"trips": [8, 7, None], "conv_rate": [0.25, 0.5, None]})
store.push("trips", frame(now - timedelta(hours=1), driver_id=[1], conv_rate=[0.0], trips=[0]))
expect("an older event", read(["driver_stats:trips"], driver_id=[1]), {"trips": [7]})
expect("on demand", read(["quoted:expected"], driver_id=[1, 2], fare=[10.0, 20.0]), {"expected": [5.0, 5.0]})

# Features and cached predictions, kept by the client: read both, infer what is
# missing, write that column back alone, read it again.
asked = ["driver_stats:conv_rate", "user_data:model_predictions"]
found = read(asked, driver_id=[1, 2])
expect("not predicted yet", found, {"conv_rate": [0.5, 0.25], "model_predictions": [None, None]})
inferred = [2 * rate for rate in found["conv_rate"]]
store.write_to_online_store("user_data", frame(now, driver_id=[1, 2], model_predictions=inferred))
expect("predicted", read(asked, driver_id=[1, 2]), {"conv_rate": [0.5, 0.25], "model_predictions": [1.0, 0.5]})
expect("by the model's name", read(["fraud:score"], driver_id=[1]), {"score": [1.0]})

# As a producer that infers after each change writes it.
store.push("trips", frame(now + timedelta(seconds=1), driver_id=[1], conv_rate=[0.75], trips=[9]))
store.write_to_online_store("fraud", frame(now + timedelta(seconds=1), driver_id=[1], score=[1.5]))
expect("a service", read(service, driver_id=[1, 2]), {"trips": [9, 8], "conv_rate": [0.75, 0.25], "score": [1.5, 0.5]})

try:
    read(["nope:trips"], driver_id=[1])
    sys.exit("an unknown view was read")
except Exception as fault:  # noqa: BLE001: whatever its class, it has to name the view
    if "nope" not in str(fault):
        sys.exit(f"an unknown view is {type(fault).__name__}: {fault}")
print("ok")
