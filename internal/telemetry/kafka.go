package telemetry

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// KafkaHooks returns hooks for the Kafka client that reads the sources; its
// metrics appear as millrace_kafka_*. A second client of the process keeps
// working but is not measured.
func (m *Metrics) KafkaHooks() []kgo.Hook {
	return []kgo.Hook{kprom.NewMetrics(namespace, kprom.Subsystem("kafka"), kprom.Registerer(once{m.registry}))}
}

// once ignores names that are registered already, where kprom would panic.
type once struct{ prometheus.Registerer }

// MustRegister implements prometheus.Registerer.
func (o once) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		var known prometheus.AlreadyRegisteredError
		if err := o.Register(c); err != nil && !errors.As(err, &known) {
			panic(err) // a name or label that Prometheus refuses: found by the first test
		}
	}
}
