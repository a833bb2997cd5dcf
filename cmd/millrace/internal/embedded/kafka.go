// Package embedded runs a Kafka broker inside the process, for development,
// tests, demos and installations of one machine.
//
// Invariant: its data folder is bounded: every topic it creates has a
// retention in bytes, or is compacted.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Settings says where the broker listens and keeps its log.
type Settings struct {
	Addr           string // host:port; only loopback hosts
	DataDir        string
	Partitions     int   // of topics created without a count
	RetentionBytes int64 // of each partition; 0 means DefaultRetentionBytes
}

// Defaults of the embedded broker. A reopened log is read whole, so what it
// keeps bounds memory at start: libraries that were measured put 256 MiB as the
// sensible limit of a whole data folder.
const (
	DefaultPartitions     = 4
	DefaultRetentionBytes = 32 << 20
	segmentBytes          = 4 << 20
)

// Kafka is a running broker.
type Kafka struct {
	cluster *kfake.Cluster
	addr    string
}

// OpenKafka starts a broker. The error of a taken port says which and how to
// choose another.
func OpenKafka(s Settings) (*Kafka, error) {
	port, err := portOf(s.Addr)
	if err != nil {
		return nil, err
	}
	if err := probe(s.Addr); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.DataDir, "kafka")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create the broker's folder: %w", err)
	}
	retention := s.RetentionBytes
	if retention == 0 {
		retention = DefaultRetentionBytes
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir), kfake.ClusterID("millrace-embedded"),
		kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(max(1, s.Partitions)),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms":               "30000",
			"log.segment.bytes":                    strconv.Itoa(segmentBytes),
			"log.retention.bytes":                  strconv.FormatInt(retention, 10),
			"group.consumer.heartbeat.interval.ms": "500",
			"group.initial.rebalance.delay.ms":     "0",
			"offsets.retention.minutes":            "525600",
			"transaction.max.timeout.ms":           "900000",
			"group.min.session.timeout.ms":         "1000",
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %s: %w", s.Addr, err)
	}
	return &Kafka{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr returns host:port for clients.
func (k *Kafka) Addr() string { return k.addr }

// Close stops the broker and flushes its log.
func (k *Kafka) Close() { k.cluster.Close() }

// TopicConfigs are what every topic on the embedded broker needs: retention
// only works for topics that set it themselves.
func TopicConfigs(retentionBytes int64) map[string]*string {
	if retentionBytes == 0 {
		retentionBytes = DefaultRetentionBytes
	}
	segment, retention := strconv.Itoa(segmentBytes), strconv.FormatInt(retentionBytes, 10)
	return map[string]*string{"segment.bytes": &segment, "retention.bytes": &retention}
}

// CompactedConfigs are what a compacted topic needs on the embedded broker, which
// drops records of such topics, too, where nothing else is said.
func CompactedConfigs() map[string]*string {
	segment, forever := strconv.Itoa(segmentBytes), "-1"
	return map[string]*string{"segment.bytes": &segment, "retention.bytes": &forever, "retention.ms": &forever}
}

func portOf(addr string) (int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("listen for Kafka clients on %q: %w; write host:port", addr, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return 0, fmt.Errorf("listen for Kafka clients on %q: %q is not a port", addr, text)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, fmt.Errorf("listen for Kafka clients on %q: the embedded broker is for this machine only; use 127.0.0.1:%d", addr, port)
	}
	return port, nil
}

// probe fails when somebody already listens on addr, before files are touched.
func probe(addr string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen for Kafka clients on %s: the port is taken; choose another with --kafka 127.0.0.1:PORT", addr)
	}
	if err != nil {
		return fmt.Errorf("listen for Kafka clients on %s: %w", addr, err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("listen for Kafka clients on %s: %w", addr, err)
	}
	return nil
}
