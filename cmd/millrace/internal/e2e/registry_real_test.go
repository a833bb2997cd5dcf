//go:build real

package e2e_test

import (
	"os"
	"time"
)

// newRegistry is the server that the environment names.
func (s *stack) newRegistry() *registry {
	s.t.Helper()
	base := os.Getenv("MILLRACE_TEST_REGISTRY")
	if base == "" {
		s.t.Fatal("set MILLRACE_TEST_REGISTRY to the URL of a schema registry with Confluent's API, or run make test-real")
	}
	return s.startRegistry(base)
}

// registryOutage is how long the registry stays away.
const registryOutage = 20 * time.Second
