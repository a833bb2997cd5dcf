//go:build !real

package e2e_test

import (
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// newRegistry is a schema registry in this process.
func (s *stack) newRegistry() *registry {
	s.t.Helper()
	fake := srfake.New()
	s.t.Cleanup(fake.Close)
	return s.startRegistry(fake.URL())
}

// registryOutage is how long the registry stays away beyond what has to be
// seen meanwhile.
const registryOutage = time.Duration(0)
