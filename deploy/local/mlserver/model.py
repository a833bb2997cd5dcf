"""A model for tests that can be checked by hand: sums, counts and labels."""

import asyncio

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Sum(MLModel):
    """Of each row: score, the sum of its numbers; count, how many there are;
    label, its texts joined by "+", or "none"; pair, half the score and twice it.
    A score of 13 is a failure, and one above 1000 takes that many milliseconds."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = payload.inputs[0].shape[0]
        score, count = np.zeros(rows), 0
        labels = [[] for _ in range(rows)]
        for tensor in payload.inputs:
            if tensor.datatype == "BYTES":
                for row, text in enumerate(StringCodec.decode_input(tensor)):
                    labels[row % rows].append(text)
                continue
            values = NumpyCodec.decode_input(tensor).astype(np.float64).reshape(rows, -1)
            score += values.sum(axis=1)
            count += values.shape[1]
        if (score == 13).any():
            raise ValueError("13 is not scored")
        if (score > 1000).any():
            await asyncio.sleep(score.max() / 1000)
        outputs = {
            "score": NumpyCodec.encode_output("score", score.reshape(-1, 1)),
            "count": NumpyCodec.encode_output("count", np.full((rows, 1), count, dtype=np.int64)),
            "label": StringCodec.encode_output("label", ["+".join(texts) or "none" for texts in labels]),
            "pair": NumpyCodec.encode_output("pair", np.stack([score / 2, score * 2], axis=1).astype(np.float32)),
        }
        asked = [o.name for o in payload.outputs or []] or ["score"]
        return InferenceResponse(
            model_name=self.name, model_version=self.version, outputs=[outputs[name] for name in asked if name in outputs]
        )
