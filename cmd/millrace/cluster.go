package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/cmd/millrace/internal/sample"
	"millrace/feature"
)

// clusterFlags say which Kafka a command reads, and from where on.
type clusterFlags struct {
	brokers []string
	from    string
}

func (f *clusterFlags) add(c *cobra.Command, from string) {
	f.addBrokers(c)
	c.Flags().StringVar(&f.from, "from", "", from)
}

func (f *clusterFlags) addBrokers(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.brokers, "brokers", nil, "Kafka brokers, host:port (default: the configuration's, or a running dev's)")
}

// start reads --from; nil when it was not given.
func (f *clusterFlags) start() (*feature.StartAt, error) {
	switch f.from {
	case "":
		return nil, nil //nolint:nilnil // it need not be given
	case "earliest":
		return &feature.StartAt{}, nil
	case "latest":
		return &feature.StartAt{Latest: true}, nil
	}
	var back config.Duration
	if err := back.UnmarshalText([]byte(f.from)); err != nil || back <= 0 {
		return nil, fmt.Errorf("--from %q is none of earliest, latest and a duration back; write 15m, 1h or 7d", f.from)
	}
	return &feature.StartAt{Back: back.Std()}, nil
}

// configure says which brokers are meant: those of the flag, of the
// configuration, or of a `millrace dev` that runs here.
func (f *clusterFlags) configure(c *config.Config) error {
	if len(f.brokers) > 0 {
		c.Kafka.Brokers = f.brokers
	}
	if len(c.Kafka.Brokers) == 0 {
		if run, err := admin.ReadRun(c.Store.DataDir); err == nil && run.Kafka != "" {
			c.Kafka.Brokers = []string{run.Kafka}
		}
	}
	if len(c.Kafka.Brokers) == 0 {
		return errors.New("no brokers are known: give --brokers host:9092, or set kafka.brokers in " + config.FileName)
	}
	return nil
}

// sampleRecords reads n records of a topic.
func (f *clusterFlags) sampleRecords(cmd *cobra.Command, c *config.Config, topic string, n int) ([]sample.Record, error) {
	from, err := f.start()
	if err != nil {
		return nil, err
	}
	if err := f.configure(c); err != nil {
		return nil, err
	}
	if err := app.Reach(cmd.Context(), c); err != nil {
		return nil, err //nolint:wrapcheck // says already what and where
	}
	connect := func(more ...kgo.Opt) (*kgo.Client, error) { return app.KafkaClient(c, "", more...) }
	return sample.Read(cmd.Context(), connect, sample.Settings{Topic: topic, N: n, From: from, Now: now()}) //nolint:wrapcheck // says already what and where
}
