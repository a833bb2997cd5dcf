package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// report collects figures.
type report struct {
	settings settings
	began    time.Time
	load     string // of the machine, at the start
	tables   []*table
}

// table is the figures of one scenario, a line each.
type table struct {
	title   string
	columns []string
	rows    [][]string
	notes   []string
}

func newReport(s settings) *report { return &report{settings: s, began: time.Now(), load: load()} }

func (r *report) table(title string, columns ...string) *table {
	t := &table{title: title, columns: columns}
	r.tables = append(r.tables, t)
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) notef(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// markdown writes the report.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Bench report, %s\n\n", r.began.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "- machine: %d cores, %s, %s/%s\n", runtime.NumCPU(), cpuModel(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(&b, "- versions: %s", runtime.Version())
	for _, d := range modules() {
		fmt.Fprintf(&b, ", %s", d)
	}
	fmt.Fprintf(&b, "\n- seed %d, %d rounds, medians\n", r.settings.seed, r.settings.rounds)
	fmt.Fprintf(&b, "- load of the machine: %s at the start, %s at the end (tasks that run or wait to, over a minute)\n", r.load, load())
	if r.settings.embedded() {
		b.WriteString("- embedded stack: `millrace dev`, broker and store inside\n")
	}
	for _, t := range r.tables {
		fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", t.title, strings.Join(t.columns, " | "), strings.Repeat(" --- |", len(t.columns)))
		for _, row := range t.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		for _, n := range t.notes {
			fmt.Fprintf(&b, "\n%s\n", n)
		}
	}
	return b.String()
}

// modules lists the clients whose versions matter.
func modules() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var found []string
	for _, d := range info.Deps {
		if strings.HasSuffix(d.Path, "franz-go") || strings.HasSuffix(d.Path, "gocql/gocql") {
			version := d.Version
			if d.Replace != nil {
				version = d.Replace.Path + " " + d.Replace.Version
			}
			found = append(found, d.Path+" "+version)
		}
	}
	return found
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// load is the machine's load average of a minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return s[len(s)/2]
}

func quantile(v []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func perSecond(v float64) string { return fmt.Sprintf("%.0f", v) }
