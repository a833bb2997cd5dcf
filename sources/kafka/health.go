package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// health follows which brokers can be reached, and logs when that changes. It
// is a hook of the client and may be called from many goroutines.
type health struct {
	log *slog.Logger
	mu  struct {
		sync.Mutex
		down map[string]outage // by address
	}
}

// outageCounts is how long a failed connection counts. A broker that is needed
// is tried more often; one that nobody tries any more left the cluster.
const outageCounts = time.Minute

// outage is a broker's last failed connection.
type outage struct {
	err  error
	last time.Time
}

var (
	_ kgo.HookBrokerConnect    = (*health)(nil)
	_ kgo.HookGroupManageError = (*health)(nil)
)

func newHealth(log *slog.Logger) *health {
	h := &health{log: log}
	h.mu.down = make(map[string]outage)
	return h
}

// OnBrokerConnect notes how a connection went.
func (h *health) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	address := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
	h.mu.Lock()
	_, was := h.mu.down[address]
	if err != nil {
		h.mu.down[address] = outage{err, time.Now()}
	} else {
		delete(h.mu.down, address)
	}
	h.mu.Unlock()
	switch {
	case err != nil && !was:
		h.log.Warn("kafka broker cannot be reached; trying on", "broker", address, "err", err)
	case err == nil && was:
		h.log.Info("kafka broker can be reached again", "broker", address)
	}
}

// OnGroupManageError logs the end of a group session that is not a rebalance.
func (h *health) OnGroupManageError(err error) {
	h.log.Warn("kafka group session ended", "err", err)
}

// err joins what is wrong.
func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for address, o := range h.mu.down {
		if time.Since(o.last) < outageCounts {
			errs = append(errs, fmt.Errorf("reach kafka broker %s: %w", address, o.err))
		}
	}
	return errors.Join(errs...)
}
