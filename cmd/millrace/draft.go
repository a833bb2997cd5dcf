package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/draft"
	"millrace/sources"
)

func newDraft(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "draft", Short: "Write definitions from what there is"}
	c.AddCommand(newDraftSource(g))
	return c
}

// draftFlags say what to draft a source from.
type draftFlags struct {
	cluster              clusterFlags
	topic, subject, name string
	n                    int
}

func newDraftSource(g *globals) *cobra.Command {
	var f draftFlags
	c := &cobra.Command{
		Use:   "source",
		Short: "Write a source with its fields from the records of a topic, or from a schema",
		Long: "Reads some records of a topic, without a group, and prints the YAML of a source: the format, the envelope, fields with their kinds and paths, the event time. " +
			"Records of a schema registry are drafted from the newest schema of their subject. No value of a record is printed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			s, err := f.draft(cmd, &cfg)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(s.YAML())
			return err //nolint:wrapcheck // the output is gone; nothing to add
		},
	}
	f.cluster.add(c, "where to begin: earliest, latest (wait for new records) or a duration back; default: the newest records")
	c.Flags().StringVar(&f.topic, "topic", "", "the topic")
	c.Flags().StringVar(&f.subject, "subject", "", "subject of the schema registry; without --topic no record is read")
	c.Flags().StringVar(&f.name, "name", "", "the source's name (default: the topic's)")
	c.Flags().IntVarP(&f.n, "records", "n", 200, "how many records to look at")
	return c
}

func (f *draftFlags) draft(cmd *cobra.Command, cfg *config.Config) (*draft.Source, error) {
	if f.topic == "" && f.subject == "" {
		return nil, errors.New("draft a source: say of what, --topic NAME or --subject NAME")
	}
	found, err := app.OpenRegistry(cfg)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	var registry draft.Schemas
	if found != nil {
		defer found.Close()
		registry = found
	}
	topic := cmp.Or(f.topic, strings.TrimSuffix(f.subject, "-value"))
	name := draft.Name(cmp.Or(f.name, topic))
	if f.subject != "" {
		if registry == nil {
			return nil, fmt.Errorf("draft a source of subject %s: no registry is configured; set schema_registry.urls in %s, or MILLRACE_SCHEMA_REGISTRY_URLS", f.subject, config.FileName)
		}
		return draft.FromSubject(cmd.Context(), name, topic, f.subject, registry) //nolint:wrapcheck // says already what and where
	}
	records, err := f.cluster.sampleRecords(cmd, cfg, topic, f.n)
	if err != nil {
		return nil, err
	}
	plain := make([]sources.Record, len(records))
	for i := range records {
		plain[i] = records[i].Record
	}
	return draft.FromRecords(cmd.Context(), name, topic, plain, registry) //nolint:wrapcheck // says already what and where
}
