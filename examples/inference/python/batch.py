"""A batch job: infers all users that it is told at once, and writes the scores
as plain features. What is served later needs no model."""

from datetime import datetime, timezone

from api import arguments, infer, online_features, post


def main():
    args = arguments(__doc__).parse_args()
    now = datetime.now(timezone.utc).isoformat()  # before the inputs are read: the scores are no younger
    amounts, orders = online_features(args.server, args.user, "user_data:last_amount", "user_activity:orders_24h")
    scores = infer(args.model, amounts, orders)
    post(f"{args.server}/v1/push/user_scores", {"rows": [
        {"user_id": user, "event_timestamp": now, "score": score, "model_version": "1"}
        for user, score in zip(args.user, scores)
    ]})
    print(f"{len(scores)} scores written")


if __name__ == "__main__":
    main()
