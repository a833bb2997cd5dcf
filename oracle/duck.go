package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"millrace/feature"
	"millrace/transforms/expr"
)

// duck is one DuckDB in memory, for one goroutine.
type duck struct {
	db   *sql.DB
	conn *sql.Conn
}

// settings make results depend on the expression alone. The optimizer takes
// common parts out of try(…), where they fail the query, and drops failures
// that it can prove away (`a + 1 > 0` becomes `a > -1`).
var settings = []string{"pragma disable_optimizer", "set threads = 1", "set timezone = 'UTC'", "set preserve_insertion_order = true"}

func openDuck(ctx context.Context) (*duck, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, fmt.Errorf("attempted to open DuckDB: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("attempted to open DuckDB: %w", err)
	}
	d := &duck{db: db, conn: conn}
	for _, s := range settings {
		if err := d.exec(ctx, s); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *duck) close() error { return errors.Join(d.conn.Close(), d.db.Close()) }

func (d *duck) exec(ctx context.Context, text string) error {
	if _, err := d.conn.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("attempted to run %q: %w", text, err)
	}
	return nil
}

// load makes the table t of the rows, with their index as `row`. JSON passes
// through text, which the appender would encode once more.
func (d *duck) load(ctx context.Context, rs *rowSet) error {
	defs, casts := []string{`"row" integer`}, []string{}
	for _, c := range columns {
		name, typ := expr.QuoteSQL(c.name), duckType(c.typ)
		if c.typ.Kind == feature.KindJSON {
			casts = append(casts, name+"::json as "+name)
			typ = strings.ReplaceAll(typ, "JSON", "varchar")
		}
		defs = append(defs, name+" "+typ)
	}
	if err := d.exec(ctx, "create or replace table raw("+strings.Join(defs, ", ")+")"); err != nil {
		return err
	}
	if err := d.conn.Raw(func(conn any) error { return appendRows(conn, rs) }); err != nil {
		return fmt.Errorf("attempted to load rows: %w", err)
	}
	//nolint:unqueryvet // it is about every column
	return d.exec(ctx, "create or replace table t as from raw select * replace ("+strings.Join(casts, ", ")+")")
}

func appendRows(raw any, rs *rowSet) error {
	conn, ok := raw.(driver.Conn)
	if !ok {
		return fmt.Errorf("%T is no connection", raw)
	}
	a, err := duckdb.NewAppenderFromConn(conn, "", "raw")
	if err != nil {
		return err
	}
	for i, row := range rs.rows {
		values := []driver.Value{int32(i)}
		for j, c := range columns {
			values = append(values, duckValue(row[j], c.typ))
		}
		if err := a.AppendRow(values...); err != nil {
			return errors.Join(err, a.Close())
		}
	}
	return a.Close()
}

// duckValue is v as the appender takes it.
func duckValue(v any, t feature.Type) driver.Value {
	if all, ok := v.([]any); ok {
		out := make([]any, len(all))
		for i, e := range all {
			out[i] = duckValue(e, t.Elem())
		}
		return out
	}
	switch x := v.(type) {
	case int64:
		switch t.Kind { //nolint:exhaustive // the others are int64
		case feature.KindInt32:
			return int32(x)
		case feature.KindTimestamp:
			return time.UnixMicro(x).UTC()
		}
	case float64:
		if t.Kind == feature.KindFloat32 {
			return float32(x)
		}
	case string:
		if t.Kind == feature.KindBytes {
			return []byte(x)
		}
	}
	return v
}

var duckTypes = map[feature.Kind]string{
	feature.KindBool: "BOOLEAN", feature.KindInt32: "INTEGER", feature.KindInt64: "BIGINT", feature.KindFloat32: "FLOAT",
	feature.KindFloat64: "DOUBLE", feature.KindString: "VARCHAR", feature.KindBytes: "BLOB", feature.KindTimestamp: "TIMESTAMP", feature.KindJSON: "JSON",
}

// duckType is DuckDB's name of a type of ours. A null without a type has a type of its own.
func duckType(t feature.Type) string {
	name := `"NULL"`
	if t.Kind != feature.KindInvalid {
		name = duckTypes[t.Kind]
	}
	return name + strings.Repeat("[]", int(t.Depth))
}

// column is what DuckDB gives for one expression: a type and a cell for each
// row, or the error with which it refused the expression.
type column struct {
	typ     string
	cells   []cell
	refused error
}

// perQuery bounds how many expressions share a query.
const perQuery = 50

// eval computes expressions over the rows of t that where picks, "" for all.
// When a query fails the expressions are asked for in halves, until the one that
// fails stands alone; it is asked for again as one whose rows may fail.
func (d *duck) eval(ctx context.Context, texts []asked, where string) ([]column, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	if len(texts) > perQuery {
		return d.halves(ctx, texts, where)
	}
	all, err := d.query(ctx, texts, where)
	switch {
	case err == nil:
		return all, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(texts) == 1 && texts[0].fails:
		return []column{{refused: err}}, nil
	case len(texts) == 1:
		texts[0].fails = true
		return d.eval(ctx, texts, where)
	}
	return d.halves(ctx, texts, where)
}

func (d *duck) halves(ctx context.Context, texts []asked, where string) ([]column, error) {
	middle := min(len(texts)/2, perQuery)
	first, err := d.eval(ctx, texts[:middle], where)
	if err != nil {
		return nil, err
	}
	second, err := d.eval(ctx, texts[middle:], where)
	return append(first, second...), err
}

func (d *duck) query(ctx context.Context, texts []asked, where string) ([]column, error) {
	var b strings.Builder
	b.WriteString("select ")
	for i, q := range texts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(q.columns())
	}
	b.WriteString(" from t " + where + ` order by "row"`)
	rows, err := d.conn.QueryContext(ctx, b.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what there is to say
	all := make([]column, len(texts))
	values, pointers := make([]any, 3*len(texts)), make([]any, 3*len(texts))
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return nil, err
		}
		for i := range all {
			all[i].typ, _ = values[3*i+2].(string)
			all[i].cells = append(all[i].cells, cell{failed: values[3*i+1] == nil, value: fromDuck(values[3*i])})
		}
	}
	return all, rows.Err()
}

// fromDuck turns what the driver gives into the value of a cell.
func fromDuck(v any) any {
	switch x := v.(type) {
	case int8:
		return int64(x)
	case int32:
		return int64(x)
	case float32:
		return float64(x)
	case []byte:
		return string(x)
	case time.Time:
		return x.UnixMicro()
	case *big.Int:
		return x.String()
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = fromDuck(e)
		}
		return out
	}
	return v
}
