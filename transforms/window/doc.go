// Package window holds the aggregates of windowed features, the tiles that
// keep their state, and the arithmetic of which tiles a window reads. It is
// pure: no I/O, no clock.
//
// A Spec is one aggregate; a Shape is the aggregates of one view over one hop;
// a Tile is their states for one entity, one span of hop and one partition.
// Three callers share them:
//
//   - the lane keeps tiles decoded: Tile.Count tells a duplicate, Tile.Update
//     counts a row, Tile.Snapshot writes bytes and fence together;
//   - serving makes a Shape of the aggregates it wants (Decode passes over the
//     others), merges the bytes of a window's tiles into one, and calls Finalize;
//   - fixtures and oracles do both.
//
// Invariant: the answer depends on which events were counted, never on how they
// were spread over tiles, partitions and merges: exactly for count, sum of
// integers, min, max, first, last, last_n and count_distinct (an estimate is a
// function of the set), to 1e-12 relative for floats, within the stated bounds
// for top_k beyond its exact size. Bytes are drawn in docs/format/tile.md.
//
// Nulls follow DuckDB: every aggregate ignores null, but first, last and
// last_n keep it, so that parallel lists align. NaN is the greatest number and
// equals itself, -0.0 equals 0.0.
//
// A Tile, a State and what Finalize writes belong to one goroutine at a time;
// strings that Finalize sets are never written again.
package window
