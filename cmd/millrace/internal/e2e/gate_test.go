package e2e_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate is a TCP way to a server that can be shut and opened: what a network
// outage or a stopped node looks like from the client.
type gate struct {
	t      *testing.T
	target string
	l      net.Listener
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, target: target, l: l, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() { _ = l.Close(); g.shut() })
	go g.accept()
	return g
}

func (g *gate) addr() string { return g.l.Addr().String() }

func (g *gate) accept() {
	for {
		in, err := g.l.Accept()
		if err != nil {
			return
		}
		go g.pass(in)
	}
}

func (g *gate) pass(in net.Conn) {
	defer in.Close() //nolint:errcheck // either side may have closed it
	if !g.hold(in) {
		return
	}
	out, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer out.Close() //nolint:errcheck // either side may have closed it
	if !g.hold(out) {
		return
	}
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// hold remembers a connection so that shut can cut it; false when shut.
func (g *gate) hold(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.conns[c] = true
	}
	return !g.closed
}

// shut cuts every connection and refuses new ones.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}
