package rowcodec

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/zeebo/xxh3"

	"millrace/feature"
	"millrace/sinks"
)

// Schemas finds stored schemas by id; sinks.Schemas is one. It is safe for
// concurrent use.
type Schemas interface {
	Schema(ctx context.Context, id uint32) (*feature.Stored, error)
}

// Reader reads finished rows back, only the columns that are asked for. It is
// safe for concurrent use.
type Reader struct {
	cells   sinks.Cells
	schemas Schemas
	calls   sync.Pool // *call

	mu    sync.RWMutex
	views map[string][]*projection // by stored name
}

// maxProjections bounds how many sets of columns of one view are remembered;
// callers may ask for any set.
const maxProjections = 64

// projection is one set of wanted columns of one view, and where they are in
// each stored schema that was met.
type projection struct {
	want []feature.StoredColumn

	mu      sync.RWMutex
	layouts map[uint32]*layout // by schema id
}

// call is what one Read needs beside its answer.
type call struct {
	cells sinks.CellSet
	views []string
}

// NewReader returns a reader of cells whose schemas are found in schemas.
func NewReader(cells sinks.Cells, schemas Schemas) *Reader {
	return &Reader{
		cells: cells, schemas: schemas,
		calls: sync.Pool{New: func() any { return new(call) }},
		views: make(map[string][]*projection),
	}
}

// Read answers q with one read of the store: dst, parallel to q.Views, is
// reset and filled, strings copied into its arenas. It blocks on the store. An
// error names the view and what is wrong with its row; dst is then undefined.
func (r *Reader) Read(ctx context.Context, q *feature.Query, dst []feature.Loaded) error {
	if len(dst) != len(q.Views) {
		return fmt.Errorf("read %s: room for %d views, %d are asked for", q.Entity, len(dst), len(q.Views))
	}
	c, _ := r.calls.Get().(*call)
	defer r.release(c)
	c.views = c.views[:0]
	for i := range q.Views {
		c.views = append(c.views, q.Views[i].View)
	}
	if err := r.cells.ReadCells(ctx, q.Entity, q.Keys, c.views, &c.cells); err != nil {
		return fmt.Errorf("read cells of %s: %w", q.Entity, err)
	}
	if len(c.cells.Values) != len(q.Keys)*len(q.Views) {
		return fmt.Errorf("read cells of %s: the store answered %d cells, not %d",
			q.Entity, len(c.cells.Values), len(q.Keys)*len(q.Views))
	}
	for i := range q.Views {
		dst[i].Reset(&q.Views[i], len(q.Keys))
		if err := r.decodeView(ctx, q, i, c.cells.Values, &dst[i]); err != nil {
			return fmt.Errorf("read view %s: %w", q.Views[i].View, err)
		}
	}
	return nil
}

// release keeps c for another call, without the store's memory.
func (r *Reader) release(c *call) {
	clear(c.cells.Values)
	r.calls.Put(c)
}

// decodeView decodes the cells of the nth view.
func (r *Reader) decodeView(ctx context.Context, q *feature.Query, nth int, cells [][]byte, dst *feature.Loaded) error {
	p := r.projection(&q.Views[nth])
	var last *layout // rows of one read mostly share a schema
	var lastID uint32
	for key := range q.Keys {
		value := cells[key*len(q.Views)+nth]
		if value == nil {
			continue
		}
		origin, err := parseHeader(value)
		if err != nil {
			return err
		}
		dst.Origins[key] = origin
		if origin.Flags&feature.RowDeleted != 0 {
			continue
		}
		if last == nil || lastID != origin.SchemaID {
			if last, err = r.layout(ctx, p, origin.SchemaID); err != nil {
				return err
			}
			lastID = origin.SchemaID
		}
		if err := last.decode(value, dst, key); err != nil {
			return fmt.Errorf("stored schema %d: %w", lastID, err)
		}
		if q.Views[nth].Hash {
			dst.Origins[key].Hash = xxh3.Hash128(value).Bytes()
		}
		dst.Found.Set(key)
	}
	return nil
}

// projection returns the remembered projection of v, or remembers one. The
// columns are compared, not only the slice: a caller may reuse its storage.
func (r *Reader) projection(v *feature.ViewQuery) *projection {
	r.mu.RLock()
	p := findProjection(r.views[v.View], v.Columns)
	r.mu.RUnlock()
	if p != nil {
		return p
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.views[v.View]
	if p = findProjection(all, v.Columns); p != nil {
		return p
	}
	if len(all) == maxProjections {
		all = nil
	}
	p = &projection{want: slices.Clone(v.Columns), layouts: make(map[uint32]*layout)}
	r.views[v.View] = append(all, p)
	return p
}

func findProjection(all []*projection, want []feature.StoredColumn) *projection {
	for _, p := range all {
		if slices.Equal(p.want, want) {
			return p
		}
	}
	return nil
}

// layout returns where p's columns are in rows of the schema with that id.
func (r *Reader) layout(ctx context.Context, p *projection, id uint32) (*layout, error) {
	p.mu.RLock()
	l := p.layouts[id]
	p.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	st, err := r.schemas.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	l = compile(st, p.want)
	p.mu.Lock()
	p.layouts[id] = l
	p.mu.Unlock()
	return l, nil
}
