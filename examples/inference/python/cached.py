"""Features with cached predictions, on the client's side: reads the prediction
next to the features; where it is null infers, writes only that column back, and
reads it again."""

from api import arguments, infer, online_features, write_predictions

FEATURES = ("user_data:last_amount", "user_activity:orders_24h", "user_data:model_predictions")


def predictions(server, model, users):
    """Returns a prediction per user, and how many of them were computed now."""
    amounts, orders, found = online_features(server, users, *FEATURES)
    missing = [i for i, prediction in enumerate(found) if prediction is None]
    if not missing:
        return found, 0
    scores = infer(model, [amounts[i] for i in missing], [orders[i] for i in missing])
    write_predictions(server, [users[i] for i in missing], scores)
    (found,) = online_features(server, users, FEATURES[-1])
    return found, len(missing)


def main():
    args = arguments(__doc__).parse_args()
    found, computed = predictions(args.server, args.model, args.user)
    for user, prediction in zip(args.user, found):
        print(f"user {user}: {prediction}")
    print(f"{computed} of {len(found)} computed now")


if __name__ == "__main__":
    main()
