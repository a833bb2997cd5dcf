package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
)

func newStatus(g *globals) *cobra.Command {
	var addrs []string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show lanes, lag, freshness and ends per view of running processes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			if len(addrs) == 0 {
				addrs = []string{adminAddress(&cfg)}
			}
			return status(cmd.Context(), cmd.OutOrStdout(), addrs)
		},
	}
	c.Flags().StringSliceVar(&addrs, "admin", nil, "admin addresses of processes (default: the running dev process, or telemetry.admin)")
	return c
}

func adminAddress(c *config.Config) string {
	if r, err := admin.ReadRun(c.Store.DataDir); err == nil {
		return r.Admin
	}
	return c.Telemetry.Admin
}

func status(ctx context.Context, w io.Writer, addrs []string) error {
	var docs []app.Document
	for _, addr := range addrs {
		var d app.Document
		if err := admin.NewClient(addr).Status(ctx, &d); err != nil {
			return fmt.Errorf("%w; name running processes with --admin host:port", err)
		}
		docs = append(docs, d)
	}
	if f, isFile := w.(*os.File); !isFile || !onTerminal(f) {
		return json.NewEncoder(w).Encode(docs) //nolint:wrapcheck // the output is gone; nothing to add
	}
	for i := range docs {
		if err := printStatus(w, &docs[i]); err != nil {
			return err
		}
	}
	return nil
}

func printStatus(w io.Writer, d *app.Document) error {
	fmt.Fprintf(w, "%s %s: project %s, catalog version %d, up %s\n\n", d.Role, d.Version, d.Project, d.CatalogVersion,
		time.Duration(d.UptimeSeconds*float64(time.Second)).Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tSTATE\tLAG\tCOMMITTED\tBUFFERED")
	for _, l := range d.Lanes {
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%d\n", l.Topic, l.Partition, l.State, l.Lag, l.Committed, l.BufferedBytes)
	}
	if len(d.Rekeyed) > 0 {
		fmt.Fprintln(t, "\nREKEYED VIEW\tTOPIC\tSTATE\tWHY")
	}
	for _, r := range d.Rekeyed {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.View, r.Topic, r.State, r.Error)
	}
	if len(d.Refreshed) > 0 {
		fmt.Fprintln(t, "\nMODEL\tSTATE\tPARTITIONS\tPENDING\tLAG\tWHY")
	}
	for _, r := range d.Refreshed {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\n", r.Model, r.State, r.Partitions, r.Pending, r.Lag, r.Error)
	}
	fmt.Fprintln(t, "\nVIEW\tSTORED\tFILTERED\tDEAD LETTERS\tFRESHNESS")
	for _, v := range d.Views {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.0f ms\n", v.View, v.Stored, v.Filtered, v.DeadLettered, v.FreshnessSeconds*1000)
	}
	return t.Flush() //nolint:wrapcheck // the output is gone; nothing to add
}
