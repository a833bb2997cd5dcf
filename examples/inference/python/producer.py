"""A producer that keeps predictions up to date: writes an order, reads the
features that it has changed, infers, and writes the prediction."""

import uuid
from datetime import datetime, timezone

from api import arguments, infer, online_features, post, write_predictions


def main():
    args = arguments(__doc__)
    args.add_argument("--amount", type=float, default=50.0, help="of the order")
    args = args.parse_args()

    now = datetime.now(timezone.utc).isoformat()
    post(f"{args.server}/v1/push/orders", {"rows": [
        {"user_id": user, "amount": args.amount, "order_id": str(uuid.uuid4()), "ordered_at": now} for user in args.user
    ]}, timeout_s=10.0)  # synchronous: once answered, the order is in the features
    amounts, orders = online_features(args.server, args.user, "user_data:last_amount", "user_activity:orders_24h")
    scores = infer(args.model, amounts, orders)
    write_predictions(args.server, args.user, scores)
    for user, score in zip(args.user, scores):
        print(f"user {user}: {score}")


if __name__ == "__main__":
    main()
