package oip

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Infer asks a model for its outputs; server is a base URL. ctx bounds the call.
func Infer(ctx context.Context, server, model, version string, inputs ...Tensor) (map[string]Tensor, error) {
	body, err := json.Marshal(request{Inputs: inputs})
	if err != nil {
		return nil, fmt.Errorf("ask model %s: %w", model, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v2/models/"+model+"/versions/"+version+"/infer", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask model %s: %w", model, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask model %s: %w; is the model server running there?", model, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var got struct {
		response
		failure
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&got); err != nil && resp.StatusCode == http.StatusOK {
		return nil, fmt.Errorf("read the answer of model %s: %w", model, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("model %s answered %s: %s", model, resp.Status, got.Error)
	}
	outputs := make(map[string]Tensor)
	for _, t := range got.Outputs {
		outputs[t.Name] = t
	}
	return outputs, nil
}
