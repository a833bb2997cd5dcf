package feature

// StoredColumn is one column of a view's stored rows. Name, Type and Since
// together are its identity: a name that was removed and comes back has another
// Since and does not read foreign data.
type StoredColumn struct {
	Name   string
	Type   Type
	Since  uint16 // revision of the view that introduced it
	Hidden bool   // an input of read-time features rather than a feature
}

// Stored is the schema of a view's stored rows. Equal canonical forms have
// equal IDs within a project.
type Stored struct {
	ID      uint32
	Columns []StoredColumn
}

// Index returns the position of the column with the identity of want, or -1.
func (s *Stored) Index(want StoredColumn) int {
	for i, c := range s.Columns {
		if c.Name == want.Name && c.Type == want.Type && c.Since == want.Since {
			return i
		}
	}
	return -1
}

// Query asks for the stored rows of some entities of one kind: for every key,
// the rows of several views. One Query is one read per entity.
type Query struct {
	Entity string
	Keys   []string // entity keys as AppendKey writes them, without duplicates
	Views  []ViewQuery
}

// ViewQuery names one view of a Query and the columns wanted of it.
type ViewQuery struct {
	View    string // StoredName
	Columns []StoredColumn
	Hash    bool // the rows' hashes are wanted, too
}

// RowFlags are facts about a stored row.
type RowFlags uint8

// The flags, as bits of the row format.
const (
	RowDeleted RowFlags = 1 << iota
)

// Loaded is the answer to one ViewQuery: one row per key, whether it was found
// or not. The reader owns its storage and may reuse it with Reset; strings in
// it live until then.
//
// Invariants: every slice and column has as many rows as the query has keys;
// where Found is false the other entries are null or zero.
type Loaded struct {
	Columns []Column // parallel to ViewQuery.Columns
	Missing []Bitmap // parallel to Columns: the row was stored without that column
	Found   Bitmap   // a row is stored and is not deleted
	Origins []StoredOrigin
	Arena   Arena
}

// StoredOrigin says which record a stored row came from.
type StoredOrigin struct {
	Sequence    Sequence
	EventMicros int64
	Partition   int32
	SchemaID    uint32
	Flags       RowFlags
	Hash        [16]byte // XXH3-128 of the row's bytes; zero unless asked for, and of a deleted row
}

// Reset empties l for n keys of q.
func (l *Loaded) Reset(q *ViewQuery, n int) {
	l.Columns = resetColumns(l.Columns, len(q.Columns), func(i int) Type { return q.Columns[i].Type })
	for len(l.Missing) < len(q.Columns) {
		l.Missing = append(l.Missing, nil)
	}
	l.Missing = l.Missing[:len(q.Columns)]
	for i := range l.Columns {
		l.Columns[i].Resize(n)
		l.Missing[i] = l.Missing[i].Resize(0).Resize(n)
	}
	l.Found = l.Found.Resize(0).Resize(n)
	l.Origins = append(l.Origins[:0], make([]StoredOrigin, n)...)
	l.Arena.Reset()
}

// TileRange is the tiles of one view and hop that start within a span: at From
// or later and before To, as in window.Span.
type TileRange struct {
	View       string // stored name, view@generation
	HopSeconds int32  // 0 when windows have no end
	From, To   int64
}

// Since says that an aggregate over a window has counted every event of a source
// partition whose time is Micros or later.
type Since struct {
	View      string // stored name, view@generation
	Partition int32
	Aggregate uint64 // transforms.Windowed.ID
	Micros    int64
}
