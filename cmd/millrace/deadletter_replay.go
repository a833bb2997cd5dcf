package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/pipeline/replay"
	"millrace/sinks"
)

func newDeadletterReplay(g *globals) *cobra.Command {
	var f letterFlags
	var s replay.Settings
	c := &cobra.Command{
		Use:   "replay",
		Short: "Take refused rows in again, under the newest applied definitions",
		Long: "Runs the selected letters through the newest applied definitions. What is stored or filtered now leaves the list; what is refused again " +
			"stays with the new reason, until it was tried --max-attempts times. Interrupted anywhere, the command is to be run again: it first finishes what it had begun.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, g, func(ctx context.Context, cfg *config.Config, store metaStore) error {
				return replayLetters(ctx, cmd.OutOrStdout(), cfg, store, s, f.build())
			})
		},
	}
	g.addDefinitions(c)
	f.add(c, 0)
	c.Flags().IntVar(&s.MaxAttempts, "max-attempts", replay.DefaultMaxAttempts, "leave letters alone that were refused again this often")
	c.Flags().BoolVar(&s.DryRun, "dry-run", false, "say what would become of them, and change nothing")
	return c
}

// replayed is what replaying one source came to.
type replayed struct {
	Source string `json:"source"`
	*replay.Result
}

func replayLetters(ctx context.Context, w io.Writer, cfg *config.Config, store metaStore, s replay.Settings, f sinks.LetterFilter) error {
	if s.MaxAttempts < 1 {
		return fmt.Errorf("replay with --max-attempts %d: it must be at least 1", s.MaxAttempts)
	}
	names, err := replaySources(ctx, store, f.Source)
	if err != nil {
		return err
	}
	limited, left := f.Limit > 0, f.Limit
	changelog := replayChangelog(ctx, cfg)
	for _, name := range names {
		f.Source, f.Limit = name, left
		progress, done := progressBar(ctx, name, store, f)
		s.Progress = progress
		result, err := app.Replay(ctx, cfg, store, s, f, changelog)
		done()
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted; run it again to go on")
		}
		if err = errors.Join(printReplay(w, replayed{name, result}), err); err != nil {
			return err
		}
		if left -= result.Letters; limited && left <= 0 {
			return nil
		}
	}
	return nil
}

// replayChangelog finds out where the changelog is. That of an embedded store is
// at the broker of the process that has the store, and one that only looks at a
// cluster writes none.
func replayChangelog(ctx context.Context, cfg *config.Config) app.Changelog {
	if cfg.Store.Type != "embedded" {
		return app.ChangelogWritten
	}
	run, err := admin.ReadRun(cfg.Store.DataDir)
	if err != nil || !admin.NewClient(run.Admin).Alive(ctx) {
		return app.ChangelogWritten
	}
	if run.Kafka == "" {
		return app.ChangelogNone
	}
	cfg.Kafka.Brokers = []string{run.Kafka}
	return app.ChangelogWritten
}

// replaySources are the sources to replay: the named one, or all that there
// are.
func replaySources(ctx context.Context, store metaStore, name string) ([]string, error) {
	p, err := app.LoadApplied(ctx, store)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	if name != "" {
		if app.FindSource(p.Catalog, name) == nil {
			return nil, fmt.Errorf("replay source %s: the applied catalog has no such source", name)
		}
		return []string{name}, nil
	}
	return app.SourceNames(p.Catalog), nil
}

// progressBar shows a bar on a terminal, when there is anything to replay.
func progressBar(ctx context.Context, source string, store sinks.LetterReader, f sinks.LetterFilter) (progress func(*replay.Result), done func()) {
	none := func() {}
	if !onTerminal(os.Stderr) {
		return nil, none
	}
	total := int64(0)
	err := store.EachLetter(ctx, f, func(*sinks.Letter) bool { total++; return true })
	if err != nil || total == 0 {
		return nil, none // the replay itself says what is wrong
	}
	p := mpb.New(mpb.WithOutput(os.Stderr))
	bar := p.AddBar(total, mpb.PrependDecorators(decor.Name(source+" ")),
		mpb.AppendDecorators(decor.CountersNoUnit("%d of %d "), decor.AverageETA(decor.ET_STYLE_GO)))
	progress = func(r *replay.Result) { bar.SetCurrent(int64(r.Letters + r.Gone)) }
	return progress, func() { bar.EnableTriggerComplete(); bar.SetTotal(-1, true); p.Wait() }
}

func printReplay(w io.Writer, r replayed) error {
	if !isTerminal(w) {
		return json.NewEncoder(w).Encode(r) //nolint:wrapcheck // a reader that went away
	}
	verb := "replayed"
	if r.DryRun {
		verb = "would be replayed"
	}
	fmt.Fprintf(w, "source %s: %d letters %s: %d stored, %d filtered, %d refused again\n", r.Source, r.Letters, verb, r.Stored, r.Filtered, r.RefusedAgain)
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		fmt.Fprintf(w, "  refused again for %s: %d\n", reason, r.Reasons[reason])
	}
	for _, skipped := range []struct {
		n   int
		why string
	}{
		{r.Truncated, "truncated: only a part of the record was kept, send it again"},
		{r.Exhausted, "refused too often: correct the cause and raise --max-attempts, or drop them"},
		{r.Overtaken, "overtaken: their records have another end under newer definitions, drop them"},
		{r.NoView, "for a view that is no longer there: drop them"},
		{r.Gone, "already at their end, or dropped meanwhile"},
	} {
		if skipped.n > 0 {
			fmt.Fprintf(w, "  left alone, %s: %d\n", skipped.why, skipped.n)
		}
	}
	return nil
}

func newDeadletterDrop(g *globals) *cobra.Command {
	var f letterFlags
	var dry, all bool
	c := &cobra.Command{
		Use:   "drop",
		Short: "Delete refused rows for good",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter := f.build()
			if filter == (sinks.LetterFilter{}) && !all && !dry {
				return errors.New("drop dead letters: say which (--source, --view, --reason, --since, --limit), or --all")
			}
			return withStore(cmd, g, func(ctx context.Context, _ *config.Config, store metaStore) error {
				return dropLetters(ctx, cmd.OutOrStdout(), store, filter, dry)
			})
		},
	}
	g.addDefinitions(c)
	f.add(c, 0)
	c.Flags().BoolVar(&dry, "dry-run", false, "count them, and drop nothing")
	c.Flags().BoolVar(&all, "all", false, "drop every letter of the project")
	return c
}

// dropChunk is how many letters are deleted at once.
const dropChunk = 1000

func dropLetters(ctx context.Context, w io.Writer, store metaStore, f sinks.LetterFilter, dry bool) error {
	left, limited, n := f.Limit, f.Limit > 0, 0
	for !limited || left > 0 {
		f.Limit = dropChunk
		if limited {
			f.Limit = min(left, dropChunk)
		}
		var ids []sinks.LetterID
		if err := store.EachLetter(ctx, f, func(l *sinks.Letter) bool { ids = append(ids, l.LetterID); return true }); err != nil {
			return fmt.Errorf("drop dead letters: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		if !dry {
			if err := store.DropLetters(ctx, ids); err != nil {
				return fmt.Errorf("drop dead letters (%d are gone): %w", n, err)
			}
		}
		n, left, f.After = n+len(ids), left-len(ids), &ids[len(ids)-1]
	}
	if err := store.Sync(ctx); err != nil {
		return fmt.Errorf("drop dead letters: %w", err)
	}
	if !isTerminal(w) {
		return json.NewEncoder(w).Encode(map[string]any{"dropped": n, "dry_run": dry}) //nolint:wrapcheck // a reader that went away
	}
	verb := "dropped"
	if dry {
		verb = "would be dropped"
	}
	fmt.Fprintf(w, "%d letters %s\n", n, verb)
	return nil
}
