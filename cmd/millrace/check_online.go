package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/transforms"
)

// online holds definitions against what is there: topics, the registry's
// schemas, model servers, and what was applied.
type online struct {
	cfg              *config.Config
	project          *definition.Project
	cluster          clusterFlags
	out              io.Writer
	latest           map[string]int32 // schema of each source that has a subject
	errors, warnings int
}

func checkOnline(ctx context.Context, w io.Writer, cfg *config.Config, p *definition.Project, f clusterFlags) error {
	o := &online{cfg: cfg, cluster: f, project: p, out: w, latest: make(map[string]int32)}
	o.topics(ctx)
	o.schemas(ctx)
	o.models(ctx)
	o.applied(ctx)
	fmt.Fprintf(w, "online: %d errors, %d warnings\n", o.errors, o.warnings)
	if o.errors > 0 {
		return errSilent
	}
	return nil
}

func (o *online) fault(err error) {
	o.errors++
	fmt.Fprintf(o.out, "%v\n", err)
}

// warn tells of a difference that harms nothing.
func (o *online) warn(source, key, message, hint string) {
	o.warnings++
	fmt.Fprintf(o.out, "%v\n", o.project.SourceFault(source, key, "warning: "+message, hint))
}

// topics asks whether there is something to read.
func (o *online) topics(ctx context.Context) {
	var names []string
	for _, s := range o.project.Catalog.Sources {
		if s.Topic != "" {
			names = append(names, s.Topic)
		}
	}
	if len(names) == 0 {
		return
	}
	err := o.cluster.configure(o.cfg)
	var there map[string]int
	if err == nil {
		there, err = app.Partitions(ctx, o.cfg, names...)
	}
	if err != nil {
		o.fault(err)
		return
	}
	o.spread(there)
	for _, s := range o.project.Catalog.Sources {
		switch n, is := there[s.Topic]; {
		case s.Topic == "":
		case is:
			fmt.Fprintf(o.out, "source %s: topic %s has %d partitions\n", s.Name, s.Topic, n)
		case s.Kind == feature.SourcePush:
			o.warn(s.Name, "push.topic", fmt.Sprintf("topic %s is not there", s.Topic), "millrace apply creates it")
		default:
			o.fault(o.project.SourceFault(s.Name, "kafka.topic", fmt.Sprintf("topic %s is not there, or may not be seen", s.Topic),
				"correct the name, let its producers create it, or allow this user to describe it"))
		}
	}
}

// schemas asks the registry for what sources name. Whether fields fit has been
// checked by then, if it answers.
func (o *online) schemas(ctx context.Context) {
	subjects, err := app.OpenSubjects(o.cfg)
	if err != nil {
		o.fault(err)
		return
	}
	for _, s := range o.project.Catalog.Sources {
		if s.Schema == nil || s.Schema.Subject == "" {
			continue
		}
		if subjects == nil {
			o.fault(o.project.SourceFault(s.Name, "schema.subject", "no schema registry is configured to ask for subject "+s.Schema.Subject,
				"set schema_registry.urls in "+config.FileName+", or MILLRACE_SCHEMA_REGISTRY_URLS"))
			continue
		}
		latest, err := subjects.Latest(ctx, s.Schema.Subject)
		if err != nil {
			o.fault(o.project.SourceFault(s.Name, "schema.subject", err.Error(), "correct the subject, or schema_registry.urls in "+config.FileName))
			continue
		}
		o.latest[s.Name] = latest.ID
		fmt.Fprintf(o.out, "source %s: subject %s is at schema %d, which has every declared field\n", s.Name, s.Schema.Subject, latest.ID)
	}
}

// applied compares schemas with those that running roles work with. A store
// that is not there, or in which nothing was applied, is no fault.
func (o *online) applied(ctx context.Context) {
	if len(o.cfg.Store.Hosts) == 0 && !hasEmbedded(o.cfg) {
		return
	}
	meta, done, err := openMeta(ctx, o.cfg, o.project.Catalog.Project, false)
	if err != nil {
		o.warnings++
		fmt.Fprintf(o.out, "warning: compare with what was applied: %v\n", err)
		return
	}
	defer done()
	prev, err := history.Latest(ctx, meta)
	if errors.Is(err, history.ErrNothingApplied) {
		return
	}
	if err != nil {
		o.fault(fmt.Errorf("compare with what was applied: %w", err))
		return
	}
	for _, s := range o.project.Catalog.Sources {
		before := prev.Sources[s.Name]
		latest, asked := o.latest[s.Name]
		if before.Schema == nil || !asked || before.Schema.ID == latest {
			continue
		}
		text := fmt.Sprintf("subject %s has a newer schema than catalog version %d: %d, not %d", s.Schema.Subject, prev.Version, latest, before.Schema.ID)
		if names := otherFields(before.Fields, s.Fields); len(names) > 0 {
			text += "; other fields are " + strings.Join(names, ", ")
		}
		o.warn(s.Name, "schema.subject", text, "roles go on with the applied one; millrace plan shows what the newer one changes, apply takes it")
	}
}

// otherFields names the fields that only one of two lists has, or has with
// another type.
func otherFields(a, b []feature.SourceField) []string {
	types := func(fields []feature.SourceField) map[string]feature.Type {
		all := make(map[string]feature.Type, len(fields))
		for _, f := range fields {
			all[f.Name] = f.Type
		}
		return all
	}
	old, now := types(a), types(b)
	names := make(map[string]bool)
	for n, t := range old {
		names[n] = now[n] != t
	}
	for n, t := range now {
		names[n] = old[n] != t
	}
	maps.DeleteFunc(names, func(_ string, other bool) bool { return !other })
	return slices.Sorted(maps.Keys(names))
}

// spread counts the cells that one read of an entity may touch: the tiles of a
// hop in every partition that may have events of it. Serving refuses more than
// so many.
func (o *online) spread(partitions map[string]int) {
	for _, v := range o.project.Catalog.Views {
		plan := o.project.Plans[v.Name]
		if plan.Windows == nil {
			continue
		}
		n := partitions[plan.Source.Topic]
		for hop := range plan.Windows.Hops {
			cells := plan.Cells(hop, n)
			if cells <= transforms.MaxCells {
				continue
			}
			tiles := plan.Windows.Tiles(hop)
			o.fault(o.project.ViewFault(v.Name, "features",
				fmt.Sprintf("a read of view %s may merge %d tiles of hop %s from each of %d partitions of topic %s: %d, and reads of more than %d are refused",
					v.Name, tiles, transforms.Duration(plan.Windows.Hops[hop].Span), n, plan.Source.Topic, cells, transforms.MaxCells),
				fmt.Sprintf("write a longer hop or shorter windows; or use a topic of fewer partitions (at most %d), or one keyed by the entity, "+
					"whose join keys are fields with key: true; or rekey: true on the view", transforms.MaxCells/tiles)))
		}
	}
}
