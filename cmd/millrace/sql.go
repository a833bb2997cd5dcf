package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/feature"
	"millrace/feature/definition"
	"millrace/transforms"
)

func newSQL(g *globals) *cobra.Command {
	var s transforms.SQLSettings
	c := &cobra.Command{
		Use:   "sql VIEW|SERVICE|MODEL",
		Short: "Print a view, service or a model's inputs as a DuckDB query over tables of raw events, for training data",
		Long: `Print a view, a service or the inputs of a model as a DuckDB query over tables
of raw events, for training data. The query is the definition's own text, so
that what a model is trained on is what it is served.

A view without windows is one row per event that would be stored, or with
--latest one per entity. The table has the source's fields by name and
record_time, the log's time of the record; with --latest also record_offset and
record_partition.

  duckdb events.db "$(millrace sql driver_trips)"

A service, a model, a view with windows, an on-demand view, and any view with
--entities is asked for at the times of a table: of join keys, request data and
event_timestamp. The answer is that table with the features that a read at that
time would have served, from what had been recorded by then. A service's
predictions are left out: no event holds them.

  duckdb events.db "$(millrace sql eta_v1 --entities labels)"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			p, err := loadDefinitions(cmd.Context(), &cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			s.Skew = cfg.Ingest.MaxFutureSkew.Std()
			text, err := sqlOf(p, args[0], s)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err //nolint:wrapcheck // the output is gone; nothing to add
		},
	}
	g.addDefinitions(c)
	c.Flags().StringVar(&s.Table, "table", "", "table of raw events (default: the source's name)")
	c.Flags().StringVar(&s.Entities, "entities", "", "table of entities and times to ask for (default, where there are windows or several views: "+transforms.DefaultEntities+")")
	c.Flags().BoolVar(&s.Latest, "latest", false, "only the row that the store would hold for each entity key")
	c.Flags().BoolVar(&s.Try, "try", false, "null where an expression fails; without it such an event ends the query")
	return c
}

// sqlOf writes what is asked for by name.
func sqlOf(p *definition.Project, name string, s transforms.SQLSettings) (string, error) {
	plan := p.Plans[name]
	if plan != nil && plan.Windows == nil && s.Entities == "" {
		return transforms.SQL(plan, s) //nolint:wrapcheck // says which view and feature
	}
	t := &transforms.Training{Name: name, Plans: p.Plans, OnDemand: p.OnDemand, Settings: s}
	switch {
	case plan != nil:
		t.Short = true
		t.Features = allOf(name, plan.View.Features)
	case p.OnDemand[name] != nil:
		t.Short = true
		t.Features = allOf(name, p.OnDemand[name].View.Features)
	case p.Catalog.Service(name) != nil:
		t.Features, t.LeftOut = withoutPredictions(p.Catalog, p.Catalog.Service(name).Features)
	case p.Catalog.Model(name) != nil:
		if t.Features = p.Catalog.Model(name).Inputs; len(t.Features) == 0 {
			return "", fmt.Errorf("write %s as SQL: clients write the predictions of this model, and which features it takes is not defined", name)
		}
	case wholeOf(p.Catalog, name) != "":
		whole := wholeOf(p.Catalog, name)
		return "", fmt.Errorf("write %s as SQL: it is part of %s, which is written as a whole: millrace sql %s", name, whole, whole)
	default:
		return "", fmt.Errorf("write %s as SQL: project %s has no such view, service or model%s%s", name, p.Catalog.Project, viewList(p.Catalog), modelList(p.Catalog))
	}
	if s.Latest {
		return "", errors.New("write " + name + " as SQL: --latest is for views without windows and without --entities, which say at what time each entity is asked for")
	}
	return t.SQL() //nolint:wrapcheck // says what it is about
}

// withoutPredictions takes the outputs of models out of what is asked for.
func withoutPredictions(k *feature.Catalog, refs []feature.FeatureRef) (features, predictions []feature.FeatureRef) {
	for _, ref := range refs {
		if m, _ := k.Output(ref); m != nil {
			predictions = append(predictions, ref)
		} else {
			features = append(features, ref)
		}
	}
	return features, predictions
}

func allOf(view string, features []feature.Feature) []feature.FeatureRef {
	refs := make([]feature.FeatureRef, len(features))
	for i := range features {
		refs[i] = feature.FeatureRef{View: view, Feature: features[i].Name}
	}
	return refs
}
