package telemetry_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/telemetry"
)

func TestKafkaClientsShareOneRegistry(t *testing.T) {
	m := telemetry.NewMetrics("v1")
	for range 2 { // the second client would make kprom panic
		c, err := kgo.NewClient(kgo.WithHooks(m.KafkaHooks()...))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	body := get(t, telemetry.AdminHandler(m, false, nil), "/metrics").Body.String()
	if !strings.Contains(body, "millrace_kafka_buffered_fetch_bytes") {
		t.Error("no metrics of the Kafka client")
	}
}
