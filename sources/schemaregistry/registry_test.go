package schemaregistry_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/goleak"

	"millrace/internal/synctest"
	"millrace/sources"
	"millrace/sources/schemaregistry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inside carries requests to a registry of this process without a socket, so
// that virtual time sees all there is to wait for.
type inside struct{ http.Handler }

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

const trip = `{"type":"record","name":"Trip","fields":[{"name":"fare","type":"double"}]}`

func open(t *testing.T, fake *srfake.Registry, change ...func(*schemaregistry.Settings)) *schemaregistry.Registry {
	t.Helper()
	s := schemaregistry.Settings{URLs: []string{"http://registry/base"}, Transport: inside{http.StripPrefix("/base", fake.Handler())}}
	for _, c := range change {
		c(&s)
	}
	r, err := schemaregistry.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// counted counts the requests that reach fake.
func counted(fake *srfake.Registry) *atomic.Int64 {
	n := new(atomic.Int64)
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool { n.Add(1); return false })
	return n
}

func TestKnownSchemaIsFetchedOnce(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
	n, r := counted(fake), open(t, fake)
	for range 3 {
		s, err := r.Schema(t.Context(), 7)
		if err != nil || s.ID != 7 || s.Type != sources.SchemaAvro || s.Text != trip || len(s.References) > 0 {
			t.Fatal(s, err)
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d fetches", n.Load())
	}
}

func TestManyLanesFetchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := srfake.NewRegistry()
		fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
		n := counted(fake)
		fake.Intercept(func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false })
		r := open(t, fake)
		var lanes sync.WaitGroup
		for range 50 {
			lanes.Go(func() {
				if s, err := r.Schema(t.Context(), 7); err != nil || s.Text != trip {
					t.Error(s, err)
				}
			})
		}
		lanes.Wait()
		if n.Load() != 1 {
			t.Errorf("%d fetches", n.Load())
		}
	})
}

func TestUnknownIDStaysUnknownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := srfake.NewRegistry()
		n := counted(fake)
		r := open(t, fake, func(s *schemaregistry.Settings) { s.UnknownFor = 10 * time.Second })
		for range 100 {
			if _, err := r.Schema(t.Context(), 7); !errors.Is(err, sources.ErrUnknownSchema) {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Second - 1)
		_, _ = r.Schema(t.Context(), 7)
		if n.Load() != 1 {
			t.Errorf("%d fetches within the time", n.Load())
		}
		fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
		time.Sleep(time.Nanosecond)
		if s, err := r.Schema(t.Context(), 7); err != nil || s.Text != trip {
			t.Error(s, err)
		}
		if n.Load() != 2 {
			t.Errorf("%d fetches", n.Load())
		}
	})
}

func TestRegistryThatIsDownIsNotAnUnknownID(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	r := open(t, fake)
	for _, c := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		text  string
	}{
		{"an error of the server", answer(500, `{"error_code":50001,"message":"x"}`), "HTTP 500"},
		{"too many requests", answer(429, ``), "HTTP 429"},
		{"a proxy's 404", answer(404, `<html>`), "check the path"},
		{"a wrong password", answer(401, `{"error_code":401}`), "check user, password or token"},
		{"no JSON", answer(200, `<html>`), "decode"},
		{"an answer without end", answer(200, `{"schema":"`+strings.Repeat("x", 17<<20)+`"}`), "too large"},
	} {
		fake.ClearInterceptors()
		fake.Intercept(c.fault)
		if _, err := r.Schema(t.Context(), 7); err == nil || errors.Is(err, sources.ErrUnknownSchema) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	fake.ClearInterceptors()
	if s, err := r.Schema(t.Context(), 7); err != nil || s.Text != trip {
		t.Errorf("after it came back: %v %v", s, err)
	}
}

func TestRegistryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := srfake.NewRegistry()
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		r := open(t, fake, func(s *schemaregistry.Settings) { s.Timeout = 3 * time.Second })
		start := time.Now()
		if _, err := r.Schema(t.Context(), 7); err == nil || errors.Is(err, sources.ErrUnknownSchema) {
			t.Error(err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("gave up after %v", d)
		}
		// One that gives up sooner does not end the request of the others.
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		var patient sync.WaitGroup
		patient.Go(func() {
			time.Sleep(time.Millisecond)
			_, _ = r.Schema(t.Context(), 7)
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("the patient one gave up after %v", d)
			}
		})
		if _, err := r.Schema(hasty, 7); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("the hasty one gave up after %v", d)
		}
		patient.Wait()
	})
}

func TestReferencesComeInOrder(t *testing.T) {
	fake := srfake.NewRegistry()
	ref := func(name string, version int) sr.SchemaReference {
		return sr.SchemaReference{Name: name, Subject: name, Version: version}
	}
	fixed := func(name string) string { return `{"type":"fixed","name":"` + name + `","size":4}` }
	fake.SeedSchema("d", 1, 1, sr.Schema{Schema: fixed("d")})
	fake.SeedSchema("b", 1, 2, sr.Schema{Schema: fixed("b"), References: []sr.SchemaReference{ref("d", 1)}})
	fake.SeedSchema("c", 1, 3, sr.Schema{Schema: fixed("c"), References: []sr.SchemaReference{ref("d", 1)}})
	fake.SeedSchema("a", 1, 4, sr.Schema{Schema: trip, References: []sr.SchemaReference{ref("b", 1), ref("c", 1)}})
	fake.SeedSchema("gone", 9, 6, sr.Schema{Schema: fixed("gone")})
	fake.SeedSchema("e", 1, 5, sr.Schema{Schema: trip, References: []sr.SchemaReference{ref("b", 1), ref("gone", 9)}})
	n, r := counted(fake), open(t, fake)
	s, err := r.Schema(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, ref := range s.References {
		names = append(names, ref.Name)
		if ref.Text != fixed(ref.Name) {
			t.Errorf("%s is %s", ref.Name, ref.Text)
		}
	}
	if got := strings.Join(names, " "); got != "d b c" || n.Load() != 4 {
		t.Errorf("references %s, %d fetches", got, n.Load())
	}
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/subjects/gone/versions/9" {
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error_code":40402}`))
		return true
	})
	if _, err := r.Schema(t.Context(), 5); !errors.Is(err, sources.ErrUnknownSchema) || !strings.Contains(err.Error(), `"gone"`) {
		t.Error(err)
	}
}

func TestLatestOfASubject(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: `"int"`})
	fake.SeedSchema("trips-value", 2, 8, sr.Schema{Schema: trip})
	r := open(t, fake)
	if s, version, err := r.Latest(t.Context(), "trips-value"); err != nil || version != 2 || s.ID != 8 || s.Text != trip {
		t.Error(s, version, err)
	}
	if _, _, err := r.Latest(t.Context(), "trips/value"); !errors.Is(err, sources.ErrUnknownSchema) || !strings.Contains(err.Error(), "trips/value") {
		t.Error(err)
	}
}

func TestCachesAreBounded(t *testing.T) {
	fake := srfake.NewRegistry()
	for id := 1; id <= 5; id++ {
		fake.SeedSchema("s", id, id, sr.Schema{Schema: trip})
	}
	n, r := counted(fake), open(t, fake, func(s *schemaregistry.Settings) { s.MaxSchemas = 2 })
	for _, id := range []int32{1, 2, 3, 4, 5, 5, 100, 101, 102, 103, 103} {
		_, _ = r.Schema(t.Context(), id)
	}
	before := n.Load()
	for _, id := range []int32{1, 2, 3, 4, 5, 100, 101, 102, 103} {
		_, _ = r.Schema(t.Context(), id)
	}
	if before != 9 || n.Load()-before < 5 {
		t.Errorf("%d fetches, then %d: more is kept than allowed, or less", before, n.Load()-before)
	}
}

func TestWhoAsks(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:secret"))
	for _, c := range []struct {
		header string
		change func(*schemaregistry.Settings)
	}{
		{basic, func(s *schemaregistry.Settings) { s.User, s.Password = "ann", "secret" }},
		{"Bearer abc", func(s *schemaregistry.Settings) { s.Token = "abc" }},
	} {
		fake := srfake.NewRegistry(srfake.WithAuth(c.header))
		fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
		if _, err := open(t, fake, c.change).Schema(t.Context(), 7); err != nil {
			t.Error(err)
		}
		if _, err := open(t, fake).Schema(t.Context(), 7); err == nil || errors.Is(err, sources.ErrUnknownSchema) {
			t.Error(err)
		}
	}
}

func TestTLS(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
	server := httptest.NewTLSServer(fake.Handler())
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(s schemaregistry.TLS) error {
		r, err := schemaregistry.New(schemaregistry.Settings{URLs: []string{"https://127.0.0.1:1", server.URL}, TLS: s})
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.Schema(t.Context(), 7)
		return err
	}
	if err := ask(schemaregistry.TLS{CAFile: ca}); err != nil {
		t.Error(err)
	}
	if err := ask(schemaregistry.TLS{Insecure: true}); err != nil {
		t.Error(err)
	}
	if err := ask(schemaregistry.TLS{}); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Error(err)
	}
	if err := ask(schemaregistry.TLS{CAFile: ca + "x"}); err == nil || !strings.Contains(err.Error(), "authorities") {
		t.Error(err)
	}
}

func TestCloseLetsGoOfConnections(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("trips-value", 1, 7, sr.Schema{Schema: trip})
	closed := make(chan struct{})
	server := httptest.NewUnstartedServer(fake.Handler())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	r, err := schemaregistry.New(schemaregistry.Settings{URLs: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Schema(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	r.Close()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("a connection stays open")
	}
}

func TestSettingsTellEverythingThatIsWrong(t *testing.T) {
	_, err := schemaregistry.New(schemaregistry.Settings{
		URLs: []string{"registry:8081", "http://ann:secret@registry", "http://ann:secret@reg\x7f"}, Password: "secret",
		TLS: schemaregistry.TLS{CertFile: "x"}, Timeout: -1, UnknownFor: -1, MaxSchemas: -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"begin with http", "credentials", "no URL", "without a user", "needs its key", "timeout", "unknown for", "max schemas"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is in %v", err)
	}
	if _, err := schemaregistry.New(schemaregistry.Settings{User: "a", Token: "b"}); err == nil || !strings.Contains(err.Error(), "either a token") ||
		!strings.Contains(err.Error(), "name at least one") {
		t.Error(err)
	}
}
