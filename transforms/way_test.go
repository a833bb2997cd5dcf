package transforms_test

import (
	"context"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"millrace/feature"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sinks/memory"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

// way is the whole way of rows: write half, bytes, store, read half.
type way struct {
	plan     *transforms.Plan
	writer   *transforms.Writer
	finisher *transforms.Writer
	encoder  *rowcodec.Encoder
	store    memory.Store
	ends     []string // by offset: "" is stored
	rows     feature.Rows
	finished feature.Batch
}

func newWay(t *rapid.T, p *transforms.Plan, rows int) *way {
	w := &way{plan: p, encoder: rowcodec.NewEncoder(), ends: make([]string, rows), finisher: p.NewFinishedWriter(time.Minute)}
	for i := range w.ends {
		w.ends[i] = "filtered" // the one end that leaves no trace
	}
	var err error
	if w.writer, err = p.NewWriter(anyFields(), time.Minute); err != nil {
		t.Fatal(err)
	}
	return w
}

// write stores a batch; as finished rows, if it is to go that way again.
func (w *way) write(t *rapid.T, in *feature.Batch, again bool) {
	w.writer.Apply(in, 0, &w.rows)
	ends := w.rows.Len() + w.rows.Filtered + len(w.rows.Rejects)
	if ends != in.Rows() {
		t.Fatalf("%d ends of %d rows", ends, in.Rows())
	}
	w.refused()
	if again {
		finish(w.plan, &w.rows, &w.finished)
		w.finisher.Apply(&w.finished, 0, &w.rows)
		w.refused()
	}
	var buf sinks.Buffer
	w.encoder.Encode(&buf, &w.rows)
	w.refused()
	for _, o := range buf.Origins {
		w.ends[o.Offset] = ""
	}
	if err := w.store.Write(context.Background(), buf.Rows); err != nil {
		t.Fatal(err)
	}
}

func (w *way) refused() {
	for _, r := range w.rows.Rejects {
		w.ends[r.Origin.Offset] = string(r.Reason) + " " + r.Message
	}
}

// Schema is what rowcodec's reader asks for schema 1.
func (w *way) Schema(context.Context, uint32) (*feature.Stored, error) { return w.plan.Stored, nil }

// read answers every feature for keys 0, 1 … n-1: by key, then by feature.
func (w *way) read(t *rapid.T, n int) [][]string {
	names := make([]string, len(w.plan.View.Features))
	for i := range names {
		names[i] = w.plan.View.Features[i].Name
	}
	r, err := w.plan.NewReader(names)
	if err != nil {
		t.Fatal(err)
	}
	q := feature.Query{Entity: "driver", Views: []feature.ViewQuery{{View: w.plan.View.StoredName(), Columns: r.Columns()}}}
	for k := range n {
		q.Keys = append(q.Keys, strconv.Itoa(k))
	}
	loaded := make([]feature.Loaded, 1)
	if err := rowcodec.NewReader(&w.store, w).Read(context.Background(), &q, loaded); err != nil {
		t.Fatal(err)
	}
	r.Run(&loaded[0], 1_800_000_000_000_000)
	answers := make([][]string, n)
	for k := range n {
		for i := range names {
			switch {
			case !loaded[0].Found.Get(k):
				answers[k] = append(answers[k], "NOT_FOUND")
			case r.Failed(i, k):
				answers[k] = append(answers[k], "ERROR")
			default:
				answers[k] = append(answers[k], r.Column(i).Type.String()+" "+show(r.Column(i), k))
			}
		}
	}
	return answers
}

// serve is read through the read API.
func (w *way) serve(t *rapid.T, n int, defaults []*feature.Column) [][]string {
	for i := range defaults {
		w.plan.View.Features[i].Default = defaults[i]
	}
	svc, err := serving.New(serving.Settings{
		Catalog: &feature.Catalog{Entities: []*feature.Entity{anyEntity}, Sources: []*feature.Source{anySource}, Views: []*feature.View{w.plan.View}},
		Plans:   map[string]*transforms.Plan{"any": w.plan}, Store: rowcodec.NewReader(&w.store, w),
	})
	if err != nil {
		t.Fatal(err)
	}
	read, fault := svc.PrepareFeatures([]string{"any"})
	if fault != nil {
		t.Fatal(fault)
	}
	var req serving.Request
	req.Reset(read)
	req.Rows = n
	req.Columns[0].Resize(n)
	for k := range n {
		req.Columns[0].SetInt(k, int64(k))
	}
	var resp serving.Response
	if fault := svc.Lookup(context.Background(), &req, &resp); fault != nil {
		t.Fatal(fault)
	}
	defer resp.Release()
	answers := make([][]string, n)
	for k := range n {
		for i := range defaults {
			v, text := resp.Value(i, k), "null"
			if v.Column != nil {
				text = show(v.Column, v.Row)
			}
			answers[k] = append(answers[k], v.Status.String()+" "+text)
		}
	}
	return answers
}
