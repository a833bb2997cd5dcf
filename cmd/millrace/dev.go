package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sourcegraph/conc/pool"
	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/demo"
	"millrace/cmd/millrace/internal/embedded"
	"millrace/cmd/millrace/internal/produce"
	"millrace/examples/rides"
	"millrace/feature"
	"millrace/feature/definition"
	"millrace/feature/history"
	"millrace/internal/telemetry"
	"millrace/sinks"
)

// devFlags is what `millrace dev` may be told.
type devFlags struct {
	demo           bool
	rate           int
	format         string
	dataDir, kafka string
	http, admin    string
	cluster        clusterFlags
}

func newDev(g *globals) *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: embedded Kafka and store, ingestion, serving and refreshing",
		Long: "Runs everything in one process. With --brokers it reads an existing Kafka cluster instead of an embedded one, " +
			"and writes nothing to it but the offsets of a group of its own.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd.Flags().Changed("kafka")); err != nil {
				return err
			}
			return dev(cmd, g, f)
		},
	}
	g.addDefinitions(c)
	c.Flags().BoolVar(&f.demo, "demo", false, "use the rides example and produce live trips")
	c.Flags().IntVar(&f.rate, "demo-rate", 200, "demo events per second")
	c.Flags().StringVar(&f.format, "demo-format", string(feature.FormatJSON), "format of the demo's trips: json, avro or protobuf")
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "where everything is kept (default .millrace)")
	c.Flags().StringVar(&f.http, "http", "", "address of the read API (default 127.0.0.1:6566)")
	c.Flags().StringVar(&f.kafka, "kafka", "127.0.0.1:9092", "address of the embedded broker")
	c.Flags().StringSliceVar(&f.cluster.brokers, "brokers", nil, "read this existing Kafka cluster, host:port, and write nothing to it but the offsets of a new group")
	c.Flags().StringVar(&f.cluster.from, "from", "", "with --brokers, where to begin: earliest, latest or a duration back, 1h (default: what each source says)")
	c.Flags().StringVar(&f.admin, "admin", "", "address of the admin endpoint (default 127.0.0.1:9464)")
	return c
}

// override lets flags win over the configuration.
func (f *devFlags) override(c *config.Config) {
	c.Store.Type = "embedded"
	for _, o := range []struct {
		from string
		to   *string
	}{{f.dataDir, &c.Store.DataDir}, {f.http, &c.Serve.HTTP}, {f.admin, &c.Telemetry.Admin}} {
		if o.from != "" {
			*o.to = o.from
		}
	}
}

// devProcess is a running `millrace dev`.
type devProcess struct {
	role
	flags       devFlags
	broker      *embedded.Kafka // nil with an existing cluster
	onRead      []string        // models that refresh on read here, and elsewhere on write
	spared      string          // the group that a deployment would use
	httpSocket  net.Listener
	adminSocket net.Listener
}

// checkFormat refuses a format that would have no effect.
func (f *devFlags) checkFormat(g *globals) error {
	format := feature.Format(f.format)
	switch {
	case !slices.Contains([]feature.Format{feature.FormatJSON, feature.FormatAvro, feature.FormatProtobuf}, format):
		return fmt.Errorf("produce trips with --demo-format %s: write json, avro or protobuf", f.format)
	case format != feature.FormatJSON && (!f.demo || g.definitions != ""):
		return errors.New("--demo-format is of the demo's own definitions: use it with --demo and without --definitions")
	}
	return nil
}

func dev(cmd *cobra.Command, g *globals, f devFlags) error {
	if err := f.checkFormat(g); err != nil {
		return err
	}
	cfg, err := g.load()
	if err != nil {
		return err
	}
	f.override(&cfg)
	d := &devProcess{flags: f}
	d.name, d.cfg, d.metrics = "dev", &cfg, telemetry.NewMetrics(version)
	logFile, err := d.openLog(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer logFile.Close() //nolint:errcheck // the last line is written
	if d.project, err = d.definitions(cmd.Context(), g, cmd.ErrOrStderr()); err != nil {
		return err
	}
	if err := d.listen(cmd.Context()); err != nil {
		return err
	}
	defer d.closeSockets()
	if err := d.open(cmd.Context(), cmd.OutOrStdout()); err != nil {
		return err
	}
	defer d.close()
	return d.run(cmd.Context(), cmd.OutOrStdout())
}

// openLog sends logs to a file where the terminal shows the live line.
func (d *devProcess) openLog(stderr io.Writer) (io.Closer, error) {
	if err := os.MkdirAll(d.cfg.Store.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("create the data folder: %w", err)
	}
	if !onTerminal(os.Stdout) {
		d.log = logger(d.cfg, stderr)
		return io.NopCloser(nil), nil
	}
	path := filepath.Join(d.cfg.Store.DataDir, "millrace.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	d.log = logger(d.cfg, f)
	return f, nil
}

func (d *devProcess) definitions(ctx context.Context, g *globals, stderr io.Writer) (*definition.Project, error) {
	if !d.flags.demo || g.definitions != "" {
		return loadDefinitions(ctx, d.cfg, stderr)
	}
	dir, err := os.MkdirTemp("", "millrace-demo-")
	if err != nil {
		return nil, fmt.Errorf("load the rides example: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is needed of it is applied
	if err := os.CopyFS(dir, rides.Schemas); err != nil {
		return nil, fmt.Errorf("load the rides example: %w", err)
	}
	files := rides.FilesIn(feature.Format(d.flags.format))
	p, err := definition.LoadWith(files, definition.Options{Schemas: app.ReadSchemas(ctx, dir, nil)})
	if err != nil {
		return nil, fmt.Errorf("load the rides example: %w", err)
	}
	return p, nil
}

// listen takes the two HTTP ports before anything is opened, so that a taken
// port costs nothing.
func (d *devProcess) listen(ctx context.Context) error {
	var err error
	if d.httpSocket, err = app.Listen(ctx, "the read API", d.cfg.Serve.HTTP, "--http 127.0.0.1:PORT"); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if d.adminSocket, err = app.Listen(ctx, "the admin endpoint", d.cfg.Telemetry.Admin, "--admin 127.0.0.1:PORT"); err != nil {
		d.closeSockets()
		return err //nolint:wrapcheck // says already what and where
	}
	return nil
}

func (d *devProcess) closeSockets() {
	for _, l := range []net.Listener{d.httpSocket, d.adminSocket} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// open starts the broker and the store, applies the definitions, and makes the
// topics.
func (d *devProcess) open(ctx context.Context, out io.Writer) error {
	if err := d.openKafka(ctx); err != nil {
		return err
	}
	var err error
	if d.store, err = app.OpenEmbeddedStore(d.cfg, d.log); err != nil {
		d.closeKafka()
		return err //nolint:wrapcheck // says already what and where
	}
	if err := d.apply(ctx, out); err != nil {
		d.close()
		return err
	}
	return nil
}

// openKafka starts the embedded broker, or finds the existing one.
func (d *devProcess) openKafka(ctx context.Context) error {
	if d.flags.existing() {
		d.lookOnly()
		return app.Reach(ctx, d.cfg) //nolint:wrapcheck // says already what and where
	}
	var err error
	if d.broker, err = embedded.OpenKafka(embedded.Settings{
		Addr: d.flags.kafka, DataDir: d.cfg.Store.DataDir, Partitions: embedded.DefaultPartitions,
	}); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	d.cfg.Kafka.Brokers = []string{d.broker.Addr()}
	return nil
}

func (d *devProcess) closeKafka() {
	if d.broker != nil {
		d.broker.Close()
	}
}

func (d *devProcess) close() {
	d.closeStore()
	d.closeKafka()
	if err := admin.RemoveRun(d.cfg.Store.DataDir); err != nil {
		d.log.Error("end", "err", err)
	}
}

func (d *devProcess) apply(ctx context.Context, out io.Writer) error {
	if err := app.RequireSchemas(d.project.Catalog); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	d.readDirectly()
	_, changes, err := history.Apply(ctx, d.store, sinks.NewSchemas(d.store), d.project, "dev", now())
	if err != nil {
		return fmt.Errorf("%w\n(or start afresh with another --data-dir)", err)
	}
	for _, c := range changes {
		fmt.Fprintln(out, c)
	}
	if d.project, err = app.LoadApplied(ctx, d.store); err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	d.readDirectly()
	d.refreshOnRead()
	if d.flags.existing() {
		if err := d.begin(); err != nil {
			return err
		}
		return d.promise(ctx, out)
	}
	return app.EnsureDevTopics(ctx, d.cfg, d.project) //nolint:wrapcheck // says already what and where
}

// run works until ctx ends: first the demo stops, then ingestion, then serving.
func (d *devProcess) run(ctx context.Context, out io.Writer) error {
	d.status = app.NewStatus("dev", version, d.project.Catalog)
	d.metrics.SetCatalogVersion(d.project.Catalog.Version)
	ingest, err := d.ingestion()
	if err != nil {
		return err
	}
	topic, err := d.openTopic()
	if err != nil {
		return err
	}
	if topic != nil {
		defer topic.Close()
	}
	changes, err := app.OpenPushChanges(d.cfg, d.project, d.metrics, d.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	if changes != nil {
		defer changes.Close() //nolint:errcheck // nothing can fail
	}
	api, err := app.NewServer(d.cfg, d.project, d.store, topic, changes, d.metrics, d.log)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer api.Close()
	refresh, err := d.refreshing(ctx, api.Service)
	if err != nil {
		return err
	}
	mux := d.adminMux()
	admin.Handle(mux, d.store)
	admin.HandleRefresh(mux, api.Service)
	if err := d.writeRun(); err != nil {
		return err
	}
	d.greet(out)

	work, stop := context.WithCancel(ctx)
	defer stop()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	servers := pool.New().WithErrors()
	servers.Go(func() error { return endWith(stop, app.ServeHTTP(serving, d.httpSocket, api, d.log)) })
	servers.Go(func() error { return endWith(stop, app.ServeHTTP(serving, d.adminSocket, mux, d.log)) })
	workers := pool.New().WithErrors()
	workers.Go(func() error { return endWith(stop, ingest(work)) })
	workers.Go(func() error { return endWith(stop, refresh(work)) })
	workers.Go(func() error { return d.produceDemo(work) })
	workers.Go(func() error { d.status.ShowLine(work, out, onTerminal(os.Stdout)); return nil })
	err = workers.Wait()
	stopServing()
	return errors.Join(err, servers.Wait())
}

// ingestion returns what works until its context ends: the lanes, or nothing
// where every row comes through the API.
func (d *devProcess) ingestion() (func(context.Context) error, error) {
	pipe, err := app.NewIngest(d.cfg, d.project, d.store, d.metrics, d.log, d.broker != nil, d.status.Events(), app.RecoverEvents(d.store, d.log))
	pushed := slices.ContainsFunc(d.project.Catalog.Sources, func(s *feature.Source) bool { return s.Pushed })
	if pushed && errors.Is(err, app.ErrNothingToIngest) {
		d.status.SetReady()
		return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	d.status.Watch(pipe)
	return pipe.Run, nil
}

// openTopic returns the log behind pushes. Nothing is written to an existing
// cluster, so there is none.
func (d *devProcess) openTopic() (app.Topic, error) {
	if d.flags.existing() {
		return nil, nil //nolint:nilnil // pushes that need none are taken all the same
	}
	return app.OpenTopic(d.cfg, d.project, d.store, d.log) //nolint:wrapcheck // says already what and where
}

// endWith stops the others when one part fails.
func endWith(stop context.CancelFunc, err error) error {
	if err != nil {
		stop()
	}
	return err
}

func (d *devProcess) writeRun() error {
	kafka := "" // somebody else's cluster is not ours to offer to commands that produce
	if d.broker != nil {
		kafka = d.broker.Addr()
	}
	return admin.WriteRun(d.cfg.Store.DataDir, admin.Run{ //nolint:wrapcheck // says already what and where
		PID: os.Getpid(), Admin: d.adminSocket.Addr().String(), HTTP: d.httpSocket.Addr().String(),
		Kafka: kafka, Project: d.project.Catalog.Project,
	})
}

func (d *devProcess) produceDemo(ctx context.Context) error {
	if !d.flags.demo {
		return nil
	}
	client, err := app.KafkaClient(d.cfg, d.project.Catalog.Project)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	defer client.Close()
	format, err := d.demoFormat(ctx)
	if err != nil {
		return err
	}
	seed := uint64(now().UnixNano())
	return demo.Run(ctx, client, d.flags.rate, seed, format) //nolint:wrapcheck // says already what
}

// demoFormat writes trips as the source that reads them wants them; JSON is
// what they are anyway.
func (d *devProcess) demoFormat(ctx context.Context) (demo.Format, error) {
	for _, s := range d.project.Catalog.Sources {
		if s.Topic != demo.Topic || s.Format == feature.FormatJSON {
			continue
		}
		e, err := produce.New(ctx, s, produce.Settings{Clock: now})
		if err != nil {
			return nil, err //nolint:wrapcheck // names the source
		}
		return e.Value, nil
	}
	return nil, nil //nolint:nilnil // none is needed
}

// greet prints the addresses and a command to paste.
func (d *devProcess) greet(out io.Writer) {
	k := d.project.Catalog
	fmt.Fprintf(out, "\nmillrace dev: project %s, catalog version %d\n", k.Project, k.Version)
	fmt.Fprintf(out, "  read API   http://%s\n  Kafka      %s\n  admin      http://%s/metrics\n  data       %s\n",
		d.httpSocket.Addr(), strings.Join(d.cfg.Kafka.Brokers, ", "), d.adminSocket.Addr(), d.cfg.Store.DataDir)
	if curl := example(k); curl != "" {
		fmt.Fprintf(out, "\ntry:  curl -s 'http://%s%s'\n\n", d.httpSocket.Addr(), curl)
	}
}

// example makes a lookup of the first service for the join keys it needs.
func example(k *feature.Catalog) string {
	if len(k.Services) == 0 || len(k.Services[0].Features) == 0 {
		return ""
	}
	s := k.Services[0]
	ref := s.Features[0]
	entity := ""
	if m, _ := k.Output(ref); m != nil {
		entity = m.Entity
	} else if v := k.View(ref.View); v != nil {
		entity = v.Entity
	}
	e := k.Entity(entity)
	if e == nil {
		return "" // on demand: it may want request data
	}
	query := make([]string, len(e.JoinKeys))
	for i, j := range e.JoinKeys {
		query[i] = cmp.Or(ref.Keys[j.Name], j.Name) + "=1001"
	}
	return "/v1/lookup/" + s.Name + "?" + strings.Join(query, "&")
}
