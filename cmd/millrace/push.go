package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/produce"
	"millrace/feature"
)

// pushFlags is what `millrace push` may be told.
type pushFlags struct {
	to, key string
	brokers []string

	server, view, transform string
	async                   bool
}

// check refuses flags that would have no effect.
func (f *pushFlags) check() error {
	switch f.to {
	case "kafka":
		if f.server != "" || f.view != "" || f.transform != "" || f.async {
			return errors.New("push: --server, --view, --transform-on-write and --async are of the API: leave --to kafka out")
		}
	case "", "api":
		if f.key != "" || len(f.brokers) > 0 {
			return errors.New("push: --key and --brokers are of Kafka: add --to kafka")
		}
	default:
		return fmt.Errorf("push --to %s: write api or kafka", f.to)
	}
	return nil
}

func newPush(g *globals) *cobra.Command {
	var f pushFlags
	c := &cobra.Command{
		Use:   "push SOURCE [FILE|-]",
		Short: "Write rows of a source through the API, or to its topic in its format",
		Long: "Reads rows from FILE or standard input, as JSON objects of the source's fields by name, one per line or in an array. They go to the API of the " +
			"running process, and are stored when the command ends, or with --async on the source's topic, and have receipts. With --to kafka they are " +
			"written to the topic in the source's format (JSON, Avro, Protobuf), with its key, headers and envelope. A row that does not fit is reported " +
			"with its line; the others are sent, and the command ends with 1.",
		Example: `  echo '{"driver_id": 7, "rating": 4.5}' | millrace push driver_profile_push
  millrace push trips trips.ndjson --to kafka --key driver_id`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.to == "kafka" {
				return push(cmd, g, f, args)
			}
			return pushToAPI(cmd, g, f, args)
		},
	}
	g.addDefinitions(c)
	c.Flags().StringVar(&f.to, "to", "", "where to: api or kafka (default api)")
	c.Flags().StringVar(&f.key, "key", "", "field that becomes the record's key")
	c.Flags().StringSliceVar(&f.brokers, "brokers", nil, "host:port of brokers (default: the configuration's, or the running dev process)")
	c.Flags().StringVar(&f.server, "server", "", "host:port of the API (default: the running dev process, or serve.http)")
	c.Flags().StringVar(&f.view, "view", "", "the only view that the rows are for")
	c.Flags().StringVar(&f.transform, "transform-on-write", "", "true: the rows are raw; false: they are finished rows of a view (default: what the source says)")
	c.Flags().BoolVar(&f.async, "async", false, "do not wait until the rows are stored: they are on the topic, and the receipts say what becomes of them")
	return c
}

func push(cmd *cobra.Command, g *globals, f pushFlags, args []string) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	run, _ := admin.ReadRun(cfg.Store.DataDir)
	f.override(&cfg, run)
	catalog, err := pushCatalog(cmd, g, &cfg, run)
	if err != nil {
		return err
	}
	src := catalog.Source(args[0])
	if src == nil && catalog.Model(args[0]) != nil {
		return fmt.Errorf("push to %s: it is a model, and predictions are written through the API: leave --to kafka out", args[0])
	}
	if src == nil {
		return fmt.Errorf("push to source %s: there is no such source; millrace explain lists them", args[0])
	}
	if src.Topic == "" {
		return fmt.Errorf("push to source %s: it has no topic, so --to kafka cannot reach it", src.Name)
	}
	in, size, err := openRows(cmd, args[1:])
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // nothing was written
	e, err := produce.New(cmd.Context(), src, produce.Settings{Key: f.key, Clock: now})
	if err != nil {
		return err //nolint:wrapcheck // names the source
	}
	client, err := app.KafkaClient(&cfg, catalog.Project, kgo.RecordDeliveryTimeout(deliveryTimeout))
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer client.Close()
	if err := hasTopic(cmd.Context(), client, src); err != nil {
		return err
	}
	return pushRows(cmd, client, e, in, size)
}

const (
	deliveryTimeout = time.Minute
	topicTimeout    = 15 * time.Second
)

func (f *pushFlags) override(c *config.Config, run admin.Run) {
	switch {
	case len(f.brokers) > 0:
		c.Kafka.Brokers = f.brokers
	case len(c.Kafka.Brokers) == 0 && run.Kafka != "":
		c.Kafka.Brokers = []string{run.Kafka}
	}
}

// pushCatalog reads the definitions; where there are none, what was applied to
// the store counts.
func pushCatalog(cmd *cobra.Command, g *globals, c *config.Config, run admin.Run) (*feature.Catalog, error) {
	if _, err := os.Stat(c.Definitions); err == nil || g.definitions != "" || run.Project == "" && c.Project == "" {
		p, err := loadDefinitions(cmd.Context(), c, cmd.ErrOrStderr())
		if err != nil {
			return nil, err
		}
		return p.Catalog, nil
	}
	project, err := projectName(c)
	if err != nil {
		return nil, err
	}
	store, done, err := openMeta(cmd.Context(), c, project, false)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := app.LoadApplied(cmd.Context(), store)
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	return p.Catalog, nil
}

// openRows opens the file, whose size is 0 when it is not known.
func openRows(cmd *cobra.Command, files []string) (io.ReadCloser, int64, error) {
	if len(files) == 0 || files[0] == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	in, err := os.Open(files[0])
	if err != nil {
		return nil, 0, fmt.Errorf("open the rows: %w", err)
	}
	if info, err := in.Stat(); err == nil && info.Mode().IsRegular() {
		return in, info.Size(), nil
	}
	return in, 0, nil
}

// hasTopic fails early where every row would have to wait for a timeout.
func hasTopic(ctx context.Context, client *kgo.Client, src *feature.Source) error {
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx, src.Topic)
	if err != nil {
		return fmt.Errorf("look for topic %s: %w; do the brokers answer? --brokers chooses others", src.Topic, err)
	}
	if !topics.Has(src.Topic) {
		return fmt.Errorf("push to source %s: the brokers have no topic %s; create it first", src.Name, src.Topic)
	}
	return nil
}

// maxShown bounds the refusals that a person has to read.
const maxShown = 20

func pushRows(cmd *cobra.Command, client *kgo.Client, e *produce.Encoder, in io.Reader, size int64) error {
	in, said, progress, done := pushProgress(in, size, cmd.ErrOrStderr())
	s, err := produce.Push(cmd.Context(), client, e, produce.NewRows(in), showRefusals(said), progress)
	done()
	if perr := printPush(cmd.OutOrStdout(), s); err == nil {
		err = perr
	}
	if err == nil && s.Refused > 0 {
		return errSilent
	}
	return err //nolint:wrapcheck // says already what and where
}

// showRefusals says the first refusals.
func showRefusals(w io.Writer) func(produce.Refusal) {
	shown := 0
	return func(r produce.Refusal) {
		if shown++; shown <= maxShown {
			fmt.Fprintf(w, "line %d: %s\n", r.Line, r.Error)
		}
		if shown == maxShown+1 {
			fmt.Fprintln(w, "… and more; the summary counts them")
		}
	}
}

// pushProgress shows how far it is on a terminal; what is said goes above that.
func pushProgress(in io.Reader, size int64, stderr io.Writer) (rows io.Reader, said io.Writer, progress func(*produce.Summary), done func()) {
	if !isTerminal(stderr) {
		return in, stderr, func(*produce.Summary) {}, func() {}
	}
	p := mpb.New(mpb.WithOutput(stderr))
	var mu sync.Mutex
	var latest produce.Summary // under mu
	counts := decor.Any(func(decor.Statistics) string {
		mu.Lock()
		defer mu.Unlock()
		s := &latest
		return fmt.Sprintf(" %d rows, %d sent, %d refused", s.Rows, s.Sent, s.Refused)
	})
	var bar *mpb.Bar
	if size > 0 {
		bar = p.AddBar(size, mpb.AppendDecorators(decor.Percentage(), counts))
	} else {
		bar = p.AddSpinner(0, mpb.AppendDecorators(counts))
	}
	progress = func(s *produce.Summary) {
		mu.Lock()
		latest = *s
		mu.Unlock()
	}
	done = func() { bar.EnableTriggerComplete(); bar.SetTotal(-1, true); p.Wait() }
	if through, err := bar.ProxyReader(in); err == nil {
		in = through
	}
	return in, p, progress, done
}

func printPush(w io.Writer, s *produce.Summary) error {
	if !isTerminal(w) {
		return json.NewEncoder(w).Encode(s) //nolint:wrapcheck // a reader that went away
	}
	fmt.Fprintf(w, "%d of %d rows sent to topic %s\n", s.Sent, s.Rows, s.Topic)
	if s.Refused > 0 {
		fmt.Fprintf(w, "%d refused: correct them and push these again\n", s.Refused)
	}
	return nil
}
