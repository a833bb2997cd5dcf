package feature

// Origin says which record, and which element of it, a row came from, and when.
type Origin struct {
	Offset       int64 // position in its partition
	RecordMillis int64 // the log's time of the record, milliseconds since the epoch
	EventMicros  int64 // when it happened, microseconds since the epoch
	Record       int32 // index of the record among those handed to the decoder
	Element      int32 // 0 unless the view unnests; of a reject also WholeRecord
	Deleted      bool  // the row says that its entity's row is gone; only its join keys count
}

// WholeRecord is the element of a reject that is about all of its record.
const WholeRecord = -1

// Field is a named, typed column of a schema.
type Field struct {
	Name string
	Type Type
}

// Batch holds decoded rows of one source, by column, of one partition. It is
// reused between fills: Reset takes back every column and every string.
//
// Invariants: every column has len(Origins) rows; a record's rows are never
// split over two batches; a row that fails leaves the batch at once.
type Batch struct {
	Partition int32
	Fields    []Field
	Columns   []Column // parallel to Fields
	Origins   []Origin // one per row
	Rejects   []Reject // rows that left
	Absent    int      // optional columns that finished rows left out
	Arena     Arena    // what string values point into
}

// Reset empties b for rows of fields from partition. fields is kept.
func (b *Batch) Reset(fields []Field, partition int32) {
	b.Partition, b.Fields = partition, fields
	for len(b.Columns) < len(fields) {
		b.Columns = append(b.Columns, Column{})
	}
	b.Columns = b.Columns[:len(fields)]
	for i := range fields {
		b.Columns[i].Reset(fields[i].Type)
	}
	b.Origins, b.Rejects, b.Absent = b.Origins[:0], b.Rejects[:0], 0
	b.Arena.Reset()
}

// Rows returns the number of rows.
func (b *Batch) Rows() int { return len(b.Origins) }

// AppendRow adds a row of nulls and returns its index.
func (b *Batch) AppendRow(o Origin) int {
	row := len(b.Origins)
	b.Origins = append(b.Origins, o)
	for i := range b.Columns {
		b.Columns[i].Resize(row + 1)
	}
	return row
}

// RejectLast takes the last row out of the batch and records why.
func (b *Batch) RejectLast(stage Stage, reason Reason, message string) {
	last := len(b.Origins) - 1
	b.Rejects = append(b.Rejects, Reject{Origin: b.Origins[last], Stage: stage, Reason: reason, Message: message})
	b.Origins = b.Origins[:last]
	for i := range b.Columns {
		b.Columns[i].Truncate(last)
	}
}

// RefuseWhole makes rejects of records of which nothing else came rejects of
// WholeRecord, so that they are told apart from those of a first element. It is
// called once, after decoding.
func (b *Batch) RefuseWhole() {
	if len(b.Rejects) == 0 {
		return
	}
	came := make(map[int32]int, len(b.Rejects))
	for i := range b.Rejects {
		came[b.Rejects[i].Origin.Record]++
	}
	for i := range b.Origins {
		if _, refused := came[b.Origins[i].Record]; refused {
			came[b.Origins[i].Record]++
		}
	}
	for i := range b.Rejects {
		if o := &b.Rejects[i].Origin; came[o.Record] == 1 {
			o.Element = WholeRecord
		}
	}
}

// Rows holds finished rows of one view: join keys, stored columns and origins,
// and what windows count of them. Like Batch it is reused, and its strings live
// as long as the batch it was made from.
//
// A row has one end: it is in Origins, in Filtered or in Rejects, but for late
// ones that are stored and refused: they are in Origins and in Rejects, end as
// dead letters, and Both counts them.
type Rows struct {
	View      *View
	Stored    *Stored // what Columns are
	Partition int32
	Keys      []Column // parallel to the entity's join keys; never null
	Columns   []Column // parallel to Stored.Columns
	Origins   []Origin
	Filtered  int      // rows that `where`, a null key or their age took out
	Rejects   []Reject // rows that failed
	Both      int      // rows of Origins that are in Rejects, too

	// Partitions are those of records by Origin.Record, where they are not all
	// of Partition; else nil. They belong to whoever set them, after the rows
	// were made: Reset lets go of them.
	Partitions []int32

	Windows RowWindows
}

// RowWindows is what windows take of Rows; all of it is parallel to Origins.
// Without windowed features it is empty.
type RowWindows struct {
	Counts   Bitmap   // rows that windows count: neither late nor deleted nor finished
	Args     []Column // values of the different expressions that aggregates are of
	Filters  []Bitmap // rows that each of the different filters keeps
	EventIDs []uint64 // how tiles know an event again; only with an event id
	HasID    Bitmap   // rows with an event id; others count whenever they come
	Late     int      // rows that were too old, whatever their end
}

// Reset empties w for columns of types and a number of filters.
func (w *RowWindows) Reset(types []Type, filters int) {
	w.Args = resetColumns(w.Args, len(types), func(i int) Type { return types[i] })
	for len(w.Filters) < filters {
		w.Filters = append(w.Filters, nil)
	}
	w.Filters = w.Filters[:filters]
	for i := range w.Filters {
		w.Filters[i] = w.Filters[i].Resize(0)
	}
	w.Counts, w.HasID = w.Counts.Resize(0), w.HasID.Resize(0)
	w.EventIDs, w.Late = w.EventIDs[:0], 0
}

// Reset empties r for rows of v stored as s. v and s are kept.
func (r *Rows) Reset(v *View, s *Stored, joinKeys []Field, partition int32) {
	r.View, r.Stored, r.Partition, r.Partitions = v, s, partition, nil
	r.Keys = resetColumns(r.Keys, len(joinKeys), func(i int) Type { return joinKeys[i].Type })
	r.Columns = resetColumns(r.Columns, len(s.Columns), func(i int) Type { return s.Columns[i].Type })
	r.Origins, r.Rejects, r.Filtered, r.Both = r.Origins[:0], r.Rejects[:0], 0, 0
}

func resetColumns(cs []Column, n int, typ func(int) Type) []Column {
	for len(cs) < n {
		cs = append(cs, Column{})
	}
	cs = cs[:n]
	for i := range cs {
		cs[i].Reset(typ(i))
	}
	return cs
}

// Len returns the number of rows.
func (r *Rows) Len() int { return len(r.Origins) }

// PartitionOf returns the partition that a row's record came from.
func (r *Rows) PartitionOf(row int) int32 {
	if r.Partitions == nil {
		return r.Partition
	}
	return r.Partitions[r.Origins[row].Record]
}
