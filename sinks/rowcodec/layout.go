package rowcodec

import "millrace/feature"

// layout says where the wanted columns are in rows of one stored schema. It is
// immutable.
type layout struct {
	columns  int // in the stored schema
	fixedAt  int // where the fixed-width section begins
	endsAt   int // where the ends begin
	bytesAt  int // where the bytes of variable-width values begin
	variable int // how many variable-width columns there are
	slots    []slot
}

// slot is one wanted column.
type slot struct {
	name    string
	typ     feature.Type
	missing bool // the stored schema lacks it
	null    int  // its bit of the null bitmap
	at      int  // of fixed width: its offset in the row
	nth     int  // of variable width: its place among those
}

// compile finds want in rows stored as st.
func compile(st *feature.Stored, want []feature.StoredColumn) *layout {
	l := &layout{columns: len(st.Columns), fixedAt: headerBytes + bitmapBytes(len(st.Columns))}
	places := make([]slot, len(st.Columns))
	l.endsAt = l.fixedAt
	for i, c := range st.Columns {
		places[i] = slot{name: c.Name, typ: c.Type, null: i, at: l.endsAt, nth: l.variable}
		if w := width(c.Type); w > 0 {
			l.endsAt += w
		} else {
			l.variable++
		}
	}
	l.bytesAt = l.endsAt + l.variable*endBytes
	l.slots = make([]slot, len(want))
	for i, c := range want {
		if at := st.Index(c); at >= 0 {
			l.slots[i] = places[at]
		} else {
			l.slots[i] = slot{name: c.Name, typ: c.Type, missing: true}
		}
	}
	return l
}

// ColumnSize is what a column adds to every row. A value of variable width
// adds its own bytes to that.
type ColumnSize struct {
	Bytes    int
	Variable bool
}

// Sizes says what rows of st consist of: the header with the null bitmap, and
// the columns.
func Sizes(st *feature.Stored) (headerAndNulls int, columns []ColumnSize) {
	columns = make([]ColumnSize, len(st.Columns))
	for i, c := range st.Columns {
		columns[i] = ColumnSize{Bytes: width(c.Type)}
		if columns[i].Bytes == 0 {
			columns[i] = ColumnSize{Bytes: endBytes, Variable: true}
		}
	}
	return headerBytes + bitmapBytes(len(st.Columns)), columns
}
