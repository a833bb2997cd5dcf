package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature"
	"millrace/sinks"
)

func newDeadletter(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "deadletter", Short: "See what was refused, and why; take it in again, or drop it"}
	c.AddCommand(newDeadletterList(g), newDeadletterShow(g), newDeadletterReplay(g), newDeadletterDrop(g))
	return c
}

// letterFlags select letters.
type letterFlags struct {
	filter sinks.LetterFilter
	reason string
	since  time.Duration
}

func (f *letterFlags) add(c *cobra.Command, limit int) {
	c.Flags().StringVar(&f.filter.Source, "source", "", "only of this source")
	c.Flags().StringVar(&f.filter.View, "view", "", "only of this view")
	c.Flags().StringVar(&f.reason, "reason", "", "only with this reason (docs/deadletters.md lists them)")
	c.Flags().DurationVar(&f.since, "since", 0, "only records younger than this")
	c.Flags().IntVar(&f.filter.Limit, "limit", limit, "at most this many; 0 is all")
}

func (f *letterFlags) build() sinks.LetterFilter {
	f.filter.Reason = feature.Reason(f.reason)
	if f.since > 0 {
		f.filter.SinceMillis = now().Add(-f.since).UnixMilli()
	}
	return f.filter
}

func newDeadletterList(g *globals) *cobra.Command {
	var f letterFlags
	var counts bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List refused rows: a table on a terminal, one JSON object per line on a pipe",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, g, func(ctx context.Context, _ *config.Config, store metaStore) error {
				if counts {
					return countLetters(ctx, cmd.OutOrStdout(), store, f.build(), cmd.Flags().Changed("limit"))
				}
				show, flush := letterPrinter(cmd.OutOrStdout())
				if err := store.EachLetter(ctx, f.build(), show); err != nil {
					return fmt.Errorf("list dead letters: %w", err)
				}
				return flush()
			})
		},
	}
	g.addDefinitions(c)
	f.add(c, 100)
	c.Flags().BoolVar(&counts, "count", false, "count them by source, view and reason instead; all of them unless --limit is given")
	return c
}

// letterCount is one line of a count.
type letterCount struct {
	Source  string         `json:"source"`
	View    string         `json:"view"`
	Reason  feature.Reason `json:"reason"`
	Letters int            `json:"letters"`
}

func countLetters(ctx context.Context, w io.Writer, store sinks.LetterReader, f sinks.LetterFilter, limited bool) error {
	if !limited {
		f.Limit = 0
	}
	counts := make(map[letterCount]int)
	err := store.EachLetter(ctx, f, func(l *sinks.Letter) bool {
		counts[letterCount{Source: l.Source, View: l.View, Reason: l.Reason}]++
		return true
	})
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	lines := slices.SortedFunc(maps.Keys(counts), func(a, b letterCount) int { return counts[b] - counts[a] })
	if !isTerminal(w) {
		e := json.NewEncoder(w)
		for _, l := range lines {
			l.Letters = counts[l]
			if err := e.Encode(l); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LETTERS\tSOURCE\tVIEW\tREASON")
	for _, l := range lines {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", counts[l], l.Source, l.View, l.Reason)
	}
	return t.Flush()
}

func isTerminal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	return isFile && onTerminal(f)
}

// letterPrinter prints for people on a terminal and for programs elsewhere.
// Payloads hold personal data, so the table leaves them out.
func letterPrinter(w io.Writer) (show func(*sinks.Letter) bool, flush func() error) {
	if !isTerminal(w) {
		e := json.NewEncoder(w)
		return func(l *sinks.Letter) bool { return e.Encode(l) == nil }, func() error { return nil }
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LETTER\tTIME\tSTAGE\tREASON\tATTEMPTS\tMESSAGE")
	show = func(l *sinks.Letter) bool {
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", letterName(l),
			time.UnixMilli(l.RecordMillis).UTC().Format(time.RFC3339), l.Stage, l.Reason, l.Attempts, l.Message)
		return err == nil
	}
	return show, t.Flush
}
