package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, text string, env ...string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, func(name string) (string, bool) {
		for _, e := range env {
			if key, value, _ := strings.Cut(e, "="); key == name {
				return value, true
			}
		}
		return "", false
	})
}

func TestWhatIsNotWrittenKeepsItsDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "project: rides\nkafka:\n  brokers: [a:9092]\nstore:\n  type: embedded\n"} {
		c, err := load(t, text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		d := Default()
		if c.Ingest != d.Ingest || c.Serve != d.Serve || c.Store.Port != d.Store.Port || c.Kafka.ClientID != d.Kafka.ClientID {
			t.Errorf("%q: defaults are lost: %+v", text, c)
		}
	}
}

func TestEnvironmentWins(t *testing.T) {
	c, err := load(t, "kafka:\n  brokers: [a:1]\n", "MILLRACE_KAFKA_BROKERS=b:1,c:2", "MILLRACE_STORE_TLS_ENABLED=true",
		"MILLRACE_INGEST_MAX_BYTES=2MiB", "MILLRACE_INGEST_COMMIT_INTERVAL=1s", "MILLRACE_STORE_PORT=19042",
		"MILLRACE_STORE_PASSWORD=hush", "MILLRACE_STORE_REPLICATION={dc1: 3}")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(c.Kafka.Brokers) != "[b:1 c:2]" || !c.Store.TLS.Enabled || c.Ingest.MaxBytes != 2<<20 ||
		c.Ingest.CommitInterval.Std() != time.Second || c.Store.Port != 19042 || c.Store.Replication["dc1"] != 3 {
		t.Errorf("%+v", c)
	}
	if c.Store.Password.Reveal() != "hush" || strings.Contains(fmt.Sprintf("%v %+v %#v", c, c, c), "hush") {
		t.Error("the secret is lost or prints")
	}
}

func TestReferences(t *testing.T) {
	c, err := load(t, "# ${NOT_SET} in a comment\nstore:\n  user: ${WHO}\n  password: \"${SECRET}\"\n  data_center: ${ODD}\n", "WHO=ann", `SECRET=a"b: #c`, "ODD=yes: no")
	if err != nil {
		t.Fatal(err)
	}
	if c.Store.User != "ann" || c.Store.Password.Reveal() != `a"b: #c` || c.Store.DataCenter != "yes: no" {
		t.Errorf("%q %q %q", c.Store.User, c.Store.Password.Reveal(), c.Store.DataCenter)
	}
	if _, err := load(t, "store:\n  user: ${WHO}\n"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("an unset reference: %v", err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(t, "store: {type: redis, port: 0}\nserve: {http: here}\nkafka: {brokers: [nowhere]}\n", "MILLRACE_INGEST_MAX_ROWS=many")
	for _, want := range []string{"store.type", "store.port", "serve.http", "kafka.brokers", "ingest.max_rows"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not reported in: %v", want, err)
		}
	}
}

func TestUnknownKeysAndUnitsAreRefusedWithTheirPlace(t *testing.T) {
	for text, says := range map[string]string{
		"kafka:\n  brookers: [a:1]\n": "[2:", "a: [\n": "[1:",
		"ingest:\n  linger: 5 parsecs\n": "5 parsecs", "ingest:\n  max_bytes: 12\n": `"12" is not a size`,
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{"250ms": 250 * time.Millisecond, "7d": 168 * time.Hour, "1h30m": 90 * time.Minute} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%s is %s, %v", text, d.Std(), err)
		}
	}
	for text, want := range map[string]Size{"512KiB": 512 << 10, "4 MiB": 4 << 20, "1GB": 1e9, "10B": 10} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
	}
}

func TestRequirementsNameTheNextStep(t *testing.T) {
	c := Default()
	for _, err := range []error{c.RequireKafka(), c.RequireStore()} {
		if err == nil || !strings.Contains(err.Error(), "MILLRACE_") {
			t.Errorf("%v", err)
		}
	}
}
