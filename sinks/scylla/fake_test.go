package scylla

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datastax/go-cassandra-native-protocol/datatype"
	"github.com/datastax/go-cassandra-native-protocol/frame"
	"github.com/datastax/go-cassandra-native-protocol/message"
	"github.com/datastax/go-cassandra-native-protocol/primitive"
	"github.com/gocql/gocql"
)

const (
	fakeKeyspace = "millrace_test"
	patience     = 20 * time.Second // of a test, for what takes milliseconds
)

// request is one statement that reached the fake database, or the statements
// of one batch.
type request struct {
	statements  []string
	values      [][][]byte
	consistency primitive.ConsistencyLevel
}

// fake is the database's side of the wire. answer decides every request on the
// project's own tables; a nil answer is success. It may block, but not longer
// than the test's context lives.
type fake struct {
	mu      sync.Mutex
	answer  func(request) message.Message
	missing map[string]bool // tables that do not exist
	centres []string        // that keep copies; none are dc1 alone
	conns   []net.Conn      // ever accepted
	port    int
}

func newFake(t testing.TB) *fake {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the fake database: %v", err)
	}
	address, _ := listener.Addr().(*net.TCPAddr)
	f := &fake{missing: map[string]bool{}, port: address.Port}
	var accepting, serving sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			serving.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Errorf("close the fake database: %v", err)
		}
		accepting.Wait()
		for _, conn := range f.conns {
			_ = conn.Close() // the driver leaves some open when it cannot make a session
		}
		serving.Wait()
	})
	return f
}

// serve answers one connection until either side closes it. Requests are
// answered as they are ready, not in their order, as a real server does.
func (f *fake) serve(conn net.Conn) {
	codec := frame.NewCodec()
	var requests sync.WaitGroup
	var writing sync.Mutex
	defer func() { _ = conn.Close() }()
	defer requests.Wait()
	for {
		r, err := codec.DecodeFrame(conn)
		if err != nil {
			return
		}
		requests.Go(func() {
			reply := frame.NewFrame(r.Header.Version, r.Header.StreamId, f.reply(r.Body.Message))
			writing.Lock()
			defer writing.Unlock()
			_ = codec.EncodeFrame(reply, conn) // the driver may have gone
		})
	}
}

func (f *fake) answerWith(answer func(request) message.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fake) reply(m message.Message) message.Message {
	switch m := m.(type) {
	case *message.Prepare:
		return prepared(m.Query)
	case *message.Options:
		return &message.Supported{}
	case *message.Startup, *message.Register:
		return &message.Ready{}
	case *message.Query:
		switch {
		case strings.HasPrefix(m.Query, "USE "):
			return &message.SetKeyspaceResult{Keyspace: fakeKeyspace}
		case strings.Contains(m.Query, "FROM system.local"):
			return systemLocal()
		}
		return rows(nil)
	case *message.Execute:
		r := request{
			statements: []string{string(m.QueryId)}, values: [][][]byte{contents(m.Options.PositionalValues)}, consistency: m.Options.Consistency,
		}
		switch {
		case r.statements[0] == listTables:
			return f.tables(string(r.values[0][0]))
		case r.statements[0] == selectReplication:
			return f.replication()
		case strings.Contains(r.statements[0], " system"):
			return rows(nil) // the driver looks at schemas in its own time
		}
		return f.decide(r)
	case *message.Batch:
		r := request{consistency: m.Consistency}
		for _, c := range m.Children {
			r.statements = append(r.statements, string(c.Id))
			r.values = append(r.values, contents(c.Values))
		}
		return f.decide(r)
	}
	return &message.ProtocolError{ErrorMessage: fmt.Sprintf("%T is not known", m)}
}

// systemLocal is what the driver needs to know of the only node.
func systemLocal() message.Message {
	id := bytes.Repeat([]byte{0x42}, 16)
	address, tokens := []byte{127, 0, 0, 1}, []byte("\x00\x00\x00\x01\x00\x00\x00\x010")
	var columns []*message.ColumnMetadata
	var row message.Row
	add := func(name string, t datatype.DataType, value []byte) {
		columns = append(columns, &message.ColumnMetadata{Keyspace: "system", Table: "local", Name: name, Type: t})
		row = append(row, value)
	}
	for _, name := range []string{"broadcast_address", "listen_address", "rpc_address"} {
		add(name, datatype.Inet, address)
	}
	add("host_id", datatype.Uuid, id)
	add("schema_version", datatype.Uuid, id)
	add("cluster_name", datatype.Varchar, []byte("fake"))
	add("data_center", datatype.Varchar, []byte("dc1"))
	add("rack", datatype.Varchar, []byte("r1"))
	add("release_version", datatype.Varchar, []byte("4.0.0"))
	add("partitioner", datatype.Varchar, []byte("org.apache.cassandra.dht.Murmur3Partitioner"))
	add("tokens", datatype.NewSet(datatype.Varchar), tokens)
	metadata := &message.RowsMetadata{ColumnCount: int32(len(columns)), Columns: columns}
	return &message.RowsResult{Metadata: metadata, Data: message.RowSet{row}}
}

func (f *fake) decide(r request) message.Message {
	f.mu.Lock()
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		if m := answer(r); m != nil {
			return m
		}
	}
	return &message.VoidResult{}
}

func contents(values []*primitive.Value) [][]byte {
	all := make([][]byte, len(values))
	for i, v := range values {
		all[i] = v.Contents
	}
	return all
}

// tables answers which tables a keyspace has.
func (f *fake) tables(keyspace string) message.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, name := range wantedTables(&Settings{Keyspace: fakeKeyspace}) {
		if table, ok := strings.CutPrefix(name, keyspace+"."); ok && !f.missing[name] {
			names = append(names, table)
		}
	}
	return rows(names, "table_name")
}

// replication answers where copies of a keyspace are.
func (f *fake) replication() message.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []string{"class", "org.apache.cassandra.locator.NetworkTopologyStrategy"}
	for _, dc := range append(f.centres, "dc1")[:max(1, len(f.centres))] {
		all = append(all, dc, "3")
	}
	encoded := binary.BigEndian.AppendUint32(nil, uint32(len(all)/2))
	for _, text := range all {
		encoded = append(binary.BigEndian.AppendUint32(encoded, uint32(len(text))), text...)
	}
	column := textColumn("replication")
	column.Type = datatype.NewMap(datatype.Varchar, datatype.Varchar)
	metadata := &message.RowsMetadata{ColumnCount: 1, Columns: []*message.ColumnMetadata{column}}
	return &message.RowsResult{Metadata: metadata, Data: message.RowSet{message.Row{encoded}}}
}

// rows is a result of one text column.
func rows(values []string, column ...string) message.Message {
	name := append(column, "v")[0]
	var set message.RowSet
	for _, v := range values {
		set = append(set, message.Row{message.Column(v)})
	}
	columns := []*message.ColumnMetadata{textColumn(name)}
	return &message.RowsResult{Metadata: &message.RowsMetadata{ColumnCount: 1, Columns: columns}, Data: set}
}

func textColumn(name string) *message.ColumnMetadata {
	return &message.ColumnMetadata{Keyspace: fakeKeyspace, Table: "t", Name: name, Type: datatype.Varchar}
}

// letterTypes are those of the variables of insertLetter.
var letterTypes = []datatype.DataType{
	datatype.Varchar, datatype.Int, datatype.Int, datatype.Bigint, datatype.Int, datatype.Varchar,
	datatype.Varchar, datatype.Bigint, datatype.Bigint, datatype.Varchar, datatype.Varchar, datatype.Varchar,
	datatype.Int, datatype.Bigint, datatype.Blob, datatype.Blob, datatype.Varchar, datatype.Int, datatype.Boolean,
	datatype.Int,
}

// variables are the types that a statement's variables have: text, unless it
// is one whose other types matter.
func variables(statement string) []datatype.DataType {
	types := make([]datatype.DataType, strings.Count(statement, "?"))
	for i := range types {
		types[i] = datatype.Varchar
	}
	switch statement {
	case upsert:
		types[3], types[4] = datatype.Blob, datatype.Bigint
	case upsertExpires:
		types[3], types[4], types[5] = datatype.Blob, datatype.Bigint, datatype.Int
	case selectViews:
		types[2] = datatype.NewList(datatype.Varchar)
	case insertLetter:
		copy(types, letterTypes)
	case upsertTile, upsertTileExpires:
		copy(types, []datatype.DataType{
			datatype.Varchar, datatype.Varchar, datatype.Varchar, datatype.Int, datatype.Bigint, datatype.Int, datatype.Blob, datatype.Bigint,
		})
		if statement == upsertTileExpires {
			types[8] = datatype.Int
		}
	case selectTiles:
		types[2] = datatype.NewList(datatype.NewTuple(datatype.Varchar, datatype.Int, datatype.Bigint, datatype.Int))
	case selectRowKeys, selectTileKeys:
		copy(types, []datatype.DataType{datatype.Bigint, datatype.Bigint, datatype.Int})
	case selectWindow:
		types[3], types[4], types[5] = datatype.Int, datatype.Bigint, datatype.Bigint
	}
	return types
}

// prepared describes a statement.
func prepared(statement string) message.Message {
	types := variables(statement)
	vars := &message.VariablesMetadata{}
	for i, t := range types {
		vars.Columns = append(vars.Columns, &message.ColumnMetadata{Keyspace: fakeKeyspace, Table: "t", Name: strconv.Itoa(i), Type: t})
	}
	switch {
	case statement == insertLetter:
		vars.PkIndices = []uint16{0, 1, 2}
	case statement == selectRowKeys, statement == selectTileKeys: // of no one partition
	case len(types) > 0 && (strings.Contains(statement, "latest") || strings.Contains(statement, "tiles")):
		vars.PkIndices = []uint16{0, 1}
	}
	return &message.PreparedResult{
		PreparedQueryId: []byte(statement), VariablesMetadata: vars, ResultMetadata: &message.RowsMetadata{},
	}
}

func (f *fake) settings() Settings {
	return Settings{
		Hosts: []string{"127.0.0.1"}, Port: f.port, Keyspace: fakeKeyspace, Consistency: "ONE",
		Timeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
		adjust: func(c *gocql.ClusterConfig) {
			c.ProtoVersion = 4
			c.DisableInitialHostLookup = true
			c.Events.DisableNodeStatusEvents, c.Events.DisableTopologyEvents, c.Events.DisableSchemaEvents = true, true, true
		},
	}
}

// open opens a store over f, with the given changes of its settings.
func (f *fake) open(t testing.TB, change ...func(*Settings)) *Store {
	t.Helper()
	set := f.settings()
	for _, c := range change {
		c(&set)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := Open(ctx, set)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}
