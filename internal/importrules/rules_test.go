package importrules

import (
	"fmt"
	"slices"
	"strings"
)

// module is the path that all our packages begin with.
const module = "millrace"

// rule says what a package, or a family written "sinks/*", may import.
type rule struct {
	pkg     string
	ours    []string // packages of the module; "*" is any
	never   []string // other packages, by prefix of the path
	std     bool     // of others, the standard library only
	instead string   // what to do about a violation
}

var (
	// outside is what reaches out of the process, or looks at a clock with a
	// deadline: pure packages do neither.
	outside = []string{"os", "net", "log", "database", "context", "syscall"}
	// backends of metrics and logs.
	backends = []string{"log", "github.com/prometheus", "go.opentelemetry.io"}
)

// rules are tried in order; the first that names the package holds.
var rules = []rule{
	{
		pkg: "feature", std: true, never: outside,
		instead: "the vocabulary depends on nothing; put the code where it is used, or pass the value in",
	},
	{
		pkg: "feature/definition", ours: []string{"feature", "transforms"},
		instead: "definitions are checked against the vocabulary and by compiling plans; read files and stores in cmd/millrace or feature/history",
	},
	{
		pkg: "feature/history", ours: []string{"feature", "feature/definition", "transforms", "sinks"},
		instead: "history keeps catalogs through sinks.Meta and knows no store; open the store in cmd/millrace and pass it in",
	},
	{
		pkg: "transforms", ours: []string{"feature", "transforms/expr", "transforms/fingerprint", "transforms/window"}, never: outside,
		instead: "a plan is pure; let the caller read, look at the clock, and pass values in as columns",
	},
	{
		pkg: "transforms/*", ours: []string{"feature"}, never: outside,
		instead: "expressions and windows know columns only; what joins them belongs to transforms",
	},
	{
		pkg: "sources", ours: []string{"feature"},
		instead: "a contract names the vocabulary only; declare an interface here and let cmd/millrace connect the two",
	},
	{
		pkg: "sources/*", ours: []string{"feature", "sources"},
		instead: "a source fulfils the contract of package sources; share through that contract, connect in cmd/millrace",
	},
	{
		pkg: "sinks", ours: []string{"feature"},
		instead: "a contract names the vocabulary only; declare an interface here and let cmd/millrace connect the two",
	},
	{
		pkg: "sinks/*", ours: []string{"feature", "sinks", "sinks/rowcodec", "transforms/window"},
		instead: "a sink fulfils the contract of package sinks; share through that contract or sinks/rowcodec, connect in cmd/millrace",
	},
	{
		pkg: "pipeline", ours: []string{"feature", "transforms", "transforms/window", "sources", "sinks"}, never: backends,
		instead: "the engine knows contracts and tells what happens through pipeline.Events; connect implementations, metrics and logs in cmd/millrace",
	},
	{
		pkg: "pipeline/*", ours: []string{"feature", "pipeline", "sources", "sinks"}, never: backends,
		instead: "what works on routes knows contracts only; connect implementations, metrics and logs in cmd/millrace",
	},
	{
		pkg: "serving", ours: []string{"feature", "transforms", "transforms/window", "transforms/fingerprint"}, never: backends,
		instead: "serving owns serving.Store and tells what happens through serving.Events; connect implementations in cmd/millrace",
	},
	{
		pkg: "serving/servingtest", ours: []string{"feature", "transforms", "transforms/window", "serving"},
		instead: "a store for tests keeps what serving.Store and serving.Tiles ask for, and counts windows with the writer's own code",
	},
	{
		pkg: "serving/predict", ours: []string{"feature", "transforms", "serving"}, never: backends,
		instead: "a client of model servers knows columns and tells what happens through predict.Events; connect metrics, logs and definitions in cmd/millrace",
	},
	{
		pkg: "serving/sweep", ours: []string{"serving", "sinks"}, never: backends,
		instead: "a sweep knows contracts and tells how far it is; connect stores, the service and the person's terminal in cmd/millrace",
	},
	{
		pkg:     "serving/predict/predicttest",
		instead: "the other side of the protocol shares no code with the client that it tests",
	},
	{
		pkg: "serving/*", ours: []string{"feature", "transforms", "serving"},
		instead: "a transport calls serving.Service and knows nothing behind it; connect in cmd/millrace",
	},
	{
		pkg:     "client",
		instead: "callers of the client must not pull in the engine; use the generated API types",
	},
	{
		pkg: "internal/testkit", ours: []string{"feature", "transforms", "sources", "sinks", "pipeline", "serving"},
		instead: "test fixtures speak in contracts; make implementations in the test that needs them",
	},
	{
		pkg:     "internal/*",
		instead: "support code knows nothing of ours; take plain values, and convert in cmd/millrace",
	},
	{pkg: "cmd/*", ours: []string{"*"}},
	{pkg: "bench", ours: []string{"*"}},
	{pkg: "bench/*", ours: []string{"*"}},
	{pkg: "examples/*", ours: []string{"*"}},
}

func ruleOf(pkg string) (rule, bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return covers(r.pkg, pkg) })
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

// covers reports whether a path, or a family of paths, holds pkg.
func covers(pattern, pkg string) bool {
	family, isFamily := strings.CutSuffix(pattern, "/*")
	return pkg == pattern || isFamily && strings.HasPrefix(pkg, family+"/")
}

// violations lists what is wrong with the imports of a package of ours.
func violations(pkg string, imports []string) []string {
	r, ok := ruleOf(pkg)
	if !ok {
		return []string{fmt.Sprintf("package %s has no import rule: add one to internal/importrules, or move the package below one that has", pkg)}
	}
	var faults []string
	for _, imported := range imports {
		if r.allows(pkg, imported) {
			continue
		}
		faults = append(faults, fmt.Sprintf("package %s imports %s, which its place forbids: %s", pkg, imported, r.instead))
	}
	return faults
}

func (r *rule) allows(pkg, imported string) bool {
	if ours, is := strings.CutPrefix(imported, module+"/"); is {
		// A package may split itself: sinks/scylla imports sinks/scylla/internal/x.
		return slices.Contains(r.ours, "*") || slices.Contains(r.ours, ours) || strings.HasPrefix(ours, pkg+"/internal/")
	}
	if r.std && !isStd(imported) {
		return false
	}
	return !slices.ContainsFunc(r.never, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") })
}

// isStd uses the go command's own rule: paths outside the standard library
// have a dot in the first element.
func isStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// longest returns the longest chain of imports among packages for which in
// holds, from importer to imported.
func longest(graph map[string][]string, in func(string) bool) []string {
	known := make(map[string][]string)
	var from func(string) []string
	from = func(p string) []string {
		if chain, ok := known[p]; ok {
			return chain
		}
		var best []string
		for _, q := range graph[p] {
			if _, ours := graph[q]; !ours || !in(q) {
				continue
			}
			if c := from(q); len(c) > len(best) {
				best = c
			}
		}
		known[p] = append([]string{p}, best...)
		return known[p]
	}
	var best []string
	for p := range graph {
		if !in(p) {
			continue
		}
		if c := from(p); len(c) > len(best) {
			best = c
		}
	}
	return best
}
