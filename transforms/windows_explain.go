package transforms

import (
	"fmt"
	"strings"
	"time"

	"millrace/feature"
)

// ExplainedWindows is what windowed features keep and what reading them costs.
type ExplainedWindows struct {
	Features []ExplainedWindow `json:"features"`
	Hops     []ExplainedHop    `json:"hops"`
	Lateness string            `json:"allowed_lateness"`
	Late     string            `json:"late"`
	EventID  string            `json:"event_id,omitempty"`
	Rekey    bool              `json:"rekey,omitempty"` // an entity's events are in one partition
}

// ExplainedWindow is one windowed feature.
type ExplainedWindow struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Aggregate string `json:"aggregate"`
	Window    string `json:"window"`
	Hop       string `json:"hop,omitempty"`
	Offset    string `json:"offset,omitempty"`
	Tiles     int    `json:"tiles"` // that a read merges, of each partition with events of the entity
}

// ExplainedHop is the tiles of one hop.
type ExplainedHop struct {
	Hop        string `json:"hop"`
	States     int    `json:"states"`         // aggregates that differ
	Tiles      int    `json:"tiles"`          // that a read of all features reads, of each partition
	Partitions int    `json:"max_partitions"` // of the topic, so that tiles of all of them can be read; 0 is any number: an entity has one
	Bytes      int    `json:"tile_bytes"`     // at most
	Kept       string `json:"kept"`           // after a tile's last event
}

func explainWindows(p *Plan) *ExplainedWindows {
	ws := p.Windows
	if ws == nil {
		return nil
	}
	e := &ExplainedWindows{Lateness: Duration(ws.Lateness), Late: "drop", EventID: ws.EventID, Rekey: p.View.Rekey}
	if p.View.Late == feature.LateDeadLetter {
		e.Late = "dead_letter"
	}
	for i := range ws.Features {
		f := &ws.Features[i]
		x := ExplainedWindow{
			Name: f.Name, Type: f.Type.String(), Aggregate: AggregateText(p.View.Features[f.at].Aggregate),
			Window: Duration(f.Window.Length), Tiles: f.Window.Tiles(),
		}
		if f.Window.Hop > 0 {
			x.Hop = Duration(f.Window.Hop)
		}
		if f.Window.Offset > 0 {
			x.Offset = Duration(f.Window.Offset)
		}
		e.Features = append(e.Features, x)
	}
	for i := range ws.Hops {
		h := &ws.Hops[i]
		x := ExplainedHop{Hop: Duration(h.Span), States: len(h.Shape.Aggregates), Tiles: ws.Tiles(i), Bytes: ws.TileBytes(i), Kept: kept(ws.TTL(i))}
		if !p.OnePartition() {
			x.Partitions = MaxCells / x.Tiles
		}
		e.Hops = append(e.Hops, x)
	}
	return e
}

// reads says how many cells a read touches.
func (h *ExplainedHop) reads() string {
	if h.Partitions == 0 {
		return fmt.Sprintf("a read takes up to %d, of the entity's one partition", h.Tiles)
	}
	return fmt.Sprintf("a read takes up to %d of each partition, and of %d partitions at most", h.Tiles, h.Partitions)
}

func kept(ttl time.Duration) string {
	if ttl == 0 {
		return "for ever"
	}
	return Duration(ttl)
}

// AggregateText is an aggregate as SQL would have it.
func AggregateText(a *feature.Aggregate) string {
	args := []string{"*"}
	if a.Of != "" {
		args[0] = a.Of
	}
	switch {
	case a.N > 0:
		args = append(args, fmt.Sprintf("n %d", a.N))
	case a.K > 0:
		args = append(args, fmt.Sprintf("k %d", a.K))
	case a.Kind == "quantile":
		args = append(args, fmt.Sprintf("q %v", a.Q))
	}
	if a.Distinct {
		args = append(args, "distinct")
	}
	text := a.Kind + "(" + strings.Join(args, ", ") + ")"
	if a.Filter != "" {
		text += " where " + a.Filter
	}
	return text
}

func (e *ExplainedWindows) sections(b *strings.Builder) {
	if e == nil {
		return
	}
	lines := make([]string, 0, len(e.Features))
	for _, f := range e.Features {
		line := fmt.Sprintf("%-20s %-12s = %s over %s", f.Name, f.Type, f.Aggregate, f.Window)
		if f.Offset != "" {
			line += ", " + f.Offset + " before"
		}
		if f.Hop != "" {
			line += fmt.Sprintf(", hop %s: %d tiles", f.Hop, f.Tiles)
		}
		lines = append(lines, line)
	}
	late := "rows of any age count"
	if e.Lateness != Duration(0) {
		late = fmt.Sprintf("rows up to %s late count (late: %s)", e.Lateness, e.Late)
	}
	section(b, "counted at write and merged at read; "+late, lines)
	lines = nil
	copies := "in one partition"
	if e.Rekey {
		copies = "whatever their partitions: the view is rekeyed"
	}
	for _, h := range e.Hops {
		lines = append(lines, fmt.Sprintf("%-20s %d states in at most %d bytes; %s; kept %s", h.Hop, h.States, h.Bytes, h.reads(), h.Kept))
	}
	section(b, "tiles, by hop", lines)
	if e.EventID != "" {
		section(b, "an event counts once", []string{"by " + e.EventID + ", for copies of one event time " + copies})
	}
}
