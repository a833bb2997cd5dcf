package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/sinks/rowcodec"
	"millrace/transforms"
)

func newExplain(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain [VIEW|MODEL]",
		Short: "Show the plan of a view, on-demand view or model: what computes what, what is stored, what a read costs; without a name, what there is",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			p, err := loadDefinitions(cmd.Context(), &cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return explainProject(cmd.OutOrStdout(), p, asJSON)
			}
			if plan, ok := p.Plans[args[0]]; ok {
				return explainView(cmd.OutOrStdout(), plan, asJSON)
			}
			if plan, ok := p.OnDemand[args[0]]; ok {
				return explainOnDemand(cmd.OutOrStdout(), plan, asJSON)
			}
			if plan, ok := p.Models[args[0]]; ok {
				return explainModel(cmd.OutOrStdout(), plan, asJSON)
			}
			if whole := wholeOf(p.Catalog, args[0]); whole != "" {
				return fmt.Errorf("explain %s: it is part of %s, which is explained as a whole: millrace explain %s", args[0], whole, whole)
			}
			return fmt.Errorf("explain %s: project %s has no such view or model%s", args[0], p.Catalog.Project, viewList(p.Catalog)+modelList(p.Catalog))
		},
	}
	g.addDefinitions(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// explanation is a plan with what it costs, which only the row's format knows.
type explanation struct {
	transforms.Explanation

	Row  rowSize  `json:"row"`
	Cost readCost `json:"read_cost"`
}

// rowSize is what a stored row takes; zero where none is stored.
type rowSize struct {
	FixedBytes int          `json:"fixed_bytes"` // of every row
	Header     int          `json:"header_bytes"`
	Columns    []columnSize `json:"columns"`
}

type columnSize struct {
	Name     string `json:"name"`
	Bytes    int    `json:"bytes"`
	Variable bool   `json:"variable,omitempty"` // and the bytes of the value
}

// readCost is what reading all of a view costs for one entity.
type readCost struct {
	StoreReads int `json:"store_reads"` // views of one entity share it
	FixedBytes int `json:"fixed_bytes"`
	TileReads  int `json:"tile_reads,omitempty"` // one per hop, of all tiles that windows cover
	Steps      int `json:"steps"`
}

func explain(p *transforms.Plan) explanation {
	e := explanation{Explanation: transforms.Explain(p)}
	if p.Windows != nil {
		e.Cost.TileReads = len(p.Windows.Hops)
	}
	e.Cost.Steps = e.ReadSteps
	if !p.StoresRows() {
		return e
	}
	header, sizes := rowcodec.Sizes(p.Stored)
	e.Row.Header, e.Row.FixedBytes = header, header
	for i, s := range sizes {
		e.Row.Columns = append(e.Row.Columns, columnSize{p.Stored.Columns[i].Name, s.Bytes, s.Variable})
		e.Row.FixedBytes += s.Bytes
	}
	e.Cost.StoreReads, e.Cost.FixedBytes = 1, e.Row.FixedBytes
	return e
}

// variable names the columns whose values add to the fixed bytes.
func (r *rowSize) variable() string {
	var names []string
	for _, c := range r.Columns {
		if c.Variable {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ", ")
}

// String says what a row takes.
func (r *rowSize) String() string {
	text := fmt.Sprintf("%d bytes", r.FixedBytes)
	if names := r.variable(); names != "" {
		text += " and the values of " + names
	}
	return text
}

func explainView(w io.Writer, p *transforms.Plan, asJSON bool) error {
	e := explain(p)
	if asJSON {
		return writeJSON(w, e)
	}
	fmt.Fprint(w, e.String())
	if p.StoresRows() {
		fmt.Fprintf(w, "\nbytes of a stored row\n  %-20s %d\n", "header and nulls", e.Row.Header)
		for _, c := range e.Row.Columns {
			more := ""
			if c.Variable {
				more = " + its value"
			}
			fmt.Fprintf(w, "  %-20s %d%s\n", c.Name, c.Bytes, more)
		}
	}
	writes, reads := e.costs(p)
	fmt.Fprintf(w, "\ncost\n  a record             %s of the write half, %s\n", steps(e.WriteSteps), strings.Join(writes, " and "))
	_, err := fmt.Fprintf(w, "  a read               %s; %s of the read half\n", strings.Join(reads, "; "), steps(e.ReadSteps))
	return err //nolint:wrapcheck // the output is gone; nothing to add
}

// costs says what a record writes and what a read of an entity reads.
func (e *explanation) costs(p *transforms.Plan) (writes, reads []string) {
	if p.StoresRows() {
		writes = append(writes, "one write of "+e.Row.String())
		reads = append(reads, "one store read per entity, shared with its other views; "+e.Row.String())
	}
	switch n := e.Cost.TileReads; {
	case n == 1:
		writes = append(writes, "one write of a tile that a micro-batch shares")
		reads = append(reads, "one query of tiles per entity")
	case n > 1:
		writes = append(writes, fmt.Sprintf("writes of %d tiles that a micro-batch shares", n))
		reads = append(reads, fmt.Sprintf("%d queries of tiles per entity, one per hop", n))
	}
	return writes, reads
}

// atRead counts the features that a read computes, of columns or of tiles.
func atRead(p *transforms.Plan, x *explanation) int {
	if p.Windows == nil {
		return len(x.Read)
	}
	return len(x.Read) + len(p.Windows.Features)
}

func steps(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// projectExplanation lists what can be explained, and what services cost.
type projectExplanation struct {
	Project       string           `json:"project"`
	Views         []listedView     `json:"views"`
	OnDemandViews []listedOnDemand `json:"on_demand_views,omitempty"`
	Models        []listedModel    `json:"models,omitempty"`
	Services      []listedService  `json:"services"`
}

type listedView struct {
	Name       string `json:"name"`
	Entity     string `json:"entity"`
	Source     string `json:"source"`
	AtWrite    int    `json:"features_at_write"`
	AtRead     int    `json:"features_at_read"`
	FixedBytes int    `json:"fixed_bytes"` // of a stored row
	Variable   bool   `json:"variable"`    // values add to them
	Stores     bool   `json:"stores_rows"` // a view of windows alone has tiles instead
}

type listedService struct {
	Name       string   `json:"name"`
	Features   int      `json:"features"`
	Views      []string `json:"views"`       // and models
	StoreReads int      `json:"store_reads"` // for one row of a request
}

func explainProject(w io.Writer, p *definition.Project, asJSON bool) error {
	e := projectExplanation{Project: p.Catalog.Project}
	for _, v := range p.Catalog.Views {
		plan := p.Plans[v.Name]
		x := explain(plan)
		e.Views = append(e.Views, listedView{v.Name, v.Entity, v.Source, len(x.Write), atRead(plan, &x), x.Row.FixedBytes, x.Row.variable() != "", plan.StoresRows()})
	}
	for _, v := range p.Catalog.OnDemandViews {
		e.OnDemandViews = append(e.OnDemandViews, listOnDemand(p.OnDemand[v.Name]))
	}
	for _, m := range p.Catalog.Models {
		e.Models = append(e.Models, listModel(p.Models[m.Name]))
	}
	for _, s := range p.Catalog.Services {
		e.Services = append(e.Services, listService(p, s))
	}
	if asJSON {
		return writeJSON(w, e)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VIEW\tENTITY\tSOURCE\tAT WRITE\tAT READ\tROW")
	for _, v := range e.Views {
		row := fmt.Sprintf("%d bytes", v.FixedBytes)
		switch {
		case !v.Stores:
			row = "none, tiles"
		case v.Variable:
			row += " and more"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\n", v.Name, v.Entity, v.Source, v.AtWrite, v.AtRead, row)
	}
	if len(e.OnDemandViews) > 0 {
		fmt.Fprintln(t, "\nON DEMAND\tENTITY\tFEATURES\tVIEWS\tREQUEST DATA")
	}
	for _, v := range e.OnDemandViews {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", v.Name, v.Entity, v.Features, strings.Join(v.Views, ", "), strings.Join(v.Request, ", "))
	}
	printModels(t, e.Models)
	if len(e.Services) > 0 {
		fmt.Fprintln(t, "\nSERVICE\tFEATURES\tSTORE READS\tVIEWS")
	}
	for _, s := range e.Services {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", s.Name, s.Features, s.StoreReads, strings.Join(s.Views, ", "))
	}
	return t.Flush() //nolint:wrapcheck // the output is gone; nothing to add
}

// listService counts a service's store reads: views and predictions of one
// entity under the same keys share one.
func listService(p *definition.Project, s *feature.Service) listedService {
	l := listedService{Name: s.Name, Features: len(s.Features)}
	reads := make(map[string]bool)
	for _, f := range s.Features {
		m, _ := p.Catalog.Output(f)
		from, entities := f.View, []string(nil)
		if m != nil {
			from, entities = m.Name, entitiesRead(p, m)
		} else if entity, ok := entityRead(p, f); ok {
			entities = []string{entity}
		}
		if !slices.Contains(l.Views, from) {
			l.Views = append(l.Views, from)
		}
		for _, entity := range entities {
			reads[entity+fmt.Sprint(f.Keys)] = true // a map prints in the order of its keys
		}
	}
	l.StoreReads = len(reads)
	return l
}

func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v) //nolint:wrapcheck // the output is gone; nothing to add
}

func viewList(c *feature.Catalog) string {
	names := c.ViewNames()
	if len(names) == 0 {
		return ""
	}
	return "; it has " + strings.Join(names, ", ")
}
