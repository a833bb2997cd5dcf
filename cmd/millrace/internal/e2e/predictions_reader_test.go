package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// sumReader reads drivers all along.
type sumReader struct {
	apis     []string
	rng      *rand.Rand
	drivers  int64
	origins  map[string]int // of scores
	problems []string
}

func (r *sumReader) run(stop <-chan struct{}) {
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !r.read(client) {
			time.Sleep(50 * time.Millisecond) // the server is being started: there is no event to wait for
		}
	}
}

// read reports whether it was answered.
func (r *sumReader) read(client *http.Client) bool {
	var rows []map[string]int64
	for range 1 + r.rng.IntN(20) {
		rows = append(rows, map[string]int64{"driver_id": r.rng.Int64N(r.drivers)})
	}
	body := jsonText(map[string]any{"features": sumAsked, "entities": rows, "include": []string{"origin"}})
	resp, err := client.Post("http://"+r.apis[r.rng.IntN(len(r.apis))]+"/v1/lookup", jsonBody, strings.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.origins[fmt.Sprint("status ", resp.StatusCode)]++
		return false
	}
	var a struct {
		Rows []struct {
			Entity map[string]int64
			Values []json.RawMessage
			Origin []*string
		}
	}
	if err := json.Unmarshal(text, &a); err != nil {
		r.problemf("%s: %v", text, err)
		return true
	}
	for _, row := range a.Rows {
		if problem := r.check(row.Values, row.Origin); problem != nil {
			r.problemf("driver %d: %v: %s", row.Entity["driver_id"], problem, jsonText(row))
		}
	}
	return true
}

func (r *sumReader) problemf(format string, args ...any) {
	if len(r.problems) < 5 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// check compares what is said to be of these inputs with what the model makes
// of them.
func (r *sumReader) check(values []json.RawMessage, origins []*string) error {
	if origins[5] == nil {
		r.origins["none"]++
		return errors.New("no prediction, and no reason")
	}
	r.origins[*origins[5]]++
	if !now(*origins[5]) {
		return nil
	}
	in, err := readSum(values)
	if err != nil {
		return err
	}
	score, label, err := in.outputs()
	if err == nil && (string(values[5]) != score || string(values[6]) != label) {
		err = fmt.Errorf("the model makes %s and %s of these inputs", score, label)
	}
	return err
}

// now reports whether an origin says that the prediction is of the inputs as
// they are now.
func now(origin string) bool {
	return strings.HasPrefix(origin, "prediction_fresh:") || strings.HasPrefix(origin, "prediction_computed:")
}
