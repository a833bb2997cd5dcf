package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/feature"
	"millrace/sinks"
)

func newDeadletter(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "deadletter", Short: "See what was refused, and why"}
	c.AddCommand(newDeadletterList(g))
	return c
}

func newDeadletterList(g *globals) *cobra.Command {
	var f sinks.LetterFilter
	var since time.Duration
	var reason string
	c := &cobra.Command{
		Use:   "list",
		Short: "List refused rows: a table on a terminal, one JSON object per line on a pipe",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			project, err := projectName(&cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			meta, done, err := openMeta(cmd.Context(), &cfg, project, false)
			if err != nil {
				return err
			}
			defer done()
			f.Reason = feature.Reason(reason)
			if since > 0 {
				f.SinceMillis = time.Now().Add(-since).UnixMilli()
			}
			show, flush := letterPrinter(cmd.OutOrStdout())
			if err := meta.EachLetter(cmd.Context(), f, show); err != nil {
				return fmt.Errorf("list dead letters: %w", err)
			}
			return flush()
		},
	}
	g.addDefinitions(c)
	c.Flags().StringVar(&f.Source, "source", "", "only of this source")
	c.Flags().StringVar(&f.View, "view", "", "only of this view")
	c.Flags().StringVar(&reason, "reason", "", "only with this reason")
	c.Flags().DurationVar(&since, "since", 0, "only records younger than this")
	c.Flags().IntVar(&f.Limit, "limit", 100, "at most this many; 0 lists all")
	return c
}

// letterPrinter prints for people on a terminal and for programs elsewhere.
// Payloads hold personal data, so the table leaves them out.
func letterPrinter(w io.Writer) (show func(*sinks.Letter) bool, flush func() error) {
	f, isFile := w.(*os.File)
	if !isFile || !onTerminal(f) {
		e := json.NewEncoder(w)
		return func(l *sinks.Letter) bool { return e.Encode(l) == nil }, func() error { return nil }
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RECORD\tTIME\tVIEW\tSTAGE\tREASON\tMESSAGE")
	show = func(l *sinks.Letter) bool {
		_, err := fmt.Fprintf(t, "%s/%d@%d\t%s\t%s\t%s\t%s\t%s\n", l.Topic, l.Partition, l.Offset,
			time.UnixMilli(l.RecordMillis).UTC().Format(time.RFC3339), l.View, l.Stage, l.Reason, l.Message)
		return err == nil
	}
	return show, t.Flush
}
