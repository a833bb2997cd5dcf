package sources_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"millrace/sources"
)

// TestUnpackUndoesPack whatever the record's own headers are called.
func TestUnpackUndoesPack(t *testing.T) {
	names := rapid.SampledFrom([]string{"trace", sources.HeaderOriginal, sources.HeaderKey, sources.HeaderFirst, sources.HeaderView})
	bytes := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOf(rapid.Byte()))
	rapid.Check(t, func(t *rapid.T) {
		var own []sources.Header
		for range rapid.IntRange(0, 4).Draw(t, "headers") {
			own = append(own, sources.Header{Key: names.Draw(t, "name"), Value: bytes.Draw(t, "value")})
		}
		c := sources.Copy{
			Partition: sources.Partition{Topic: "a.b-c_D", Number: rapid.Int32Range(0, 9).Draw(t, "partition")},
			Offset:    rapid.Int64Range(0, 1<<60).Draw(t, "offset"), TimeMillis: rapid.Int64().Draw(t, "time"),
			Key: bytes.Draw(t, "key"), Entity: "1|a/b", First: rapid.Bool().Draw(t, "first"),
		}
		if c.First {
			c.Others = rapid.SliceOf(rapid.String()).Draw(t, "others")
			slices.Sort(c.Others)
		}
		r := sources.Record{Key: []byte(c.Entity), Value: []byte("v"), Headers: c.Pack(own), Offset: 7, TimeMillis: 8}
		got, err := sources.Unpack(&r)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Others) == 0 {
			got.Others, c.Others = nil, nil
		}
		if !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v came back as %+v", c, got)
		}
		if len(r.Headers) != len(own) || r.Offset != c.Offset || r.TimeMillis != c.TimeMillis || (r.Key == nil) != (c.Key == nil) || string(r.Key) != string(c.Key) {
			t.Fatalf("the record is %+v, its headers were %+v", r, own)
		}
		for i := range own {
			if r.Headers[i].Key != own[i].Key || string(r.Headers[i].Value) != string(own[i].Value) {
				t.Fatalf("header %d is %+v, was %+v", i, r.Headers[i], own[i])
			}
		}
	})
}

// TestEveryRowHasOneCopy whatever the keys of rows turn out to be.
func TestEveryRowHasOneCopy(t *testing.T) {
	copies := []sources.Copy{{First: true, Entity: "a", Others: []string{"b", "c"}}, {Entity: "b"}, {Entity: "c"}}
	for _, entity := range []string{"a", "b", "c", "d", ""} {
		owners := 0
		for i := range copies {
			if copies[i].Owns(entity) {
				owners++
			}
		}
		if owners != 1 {
			t.Errorf("a row of %q belongs to %d copies", entity, owners)
		}
	}
	if alone := (sources.Copy{First: true, Entity: "trips/0/4"}); !alone.OwnsAll() || copies[0].OwnsAll() || copies[1].OwnsAll() {
		t.Error("the only copy of a record has all of its rows, and no other has")
	}
}

func TestWhatIsNoCopyIsRefused(t *testing.T) {
	for _, headers := range [][]sources.Header{
		nil,
		{{Key: sources.HeaderFirst}},
		{{Key: sources.HeaderOriginal, Value: []byte("t/0/1")}},
		{{Key: sources.HeaderOriginal, Value: []byte("/0/1/2")}},
		{{Key: sources.HeaderOriginal, Value: []byte("t/-1/1/2")}},
		{{Key: sources.HeaderOriginal, Value: []byte("t/0/x/2")}},
		{{Key: sources.HeaderOriginal, Value: []byte("t/0/1/2")}, {Key: "trace"}},
		{{Key: sources.HeaderOriginal, Value: []byte("t/0/1/2")}, {Key: sources.HeaderFirst, Value: []byte{9, 'a'}}},
	} {
		r := sources.Record{Key: []byte("k"), Headers: headers, Offset: 7}
		before := fmt.Sprint(r)
		if _, err := sources.Unpack(&r); err == nil || fmt.Sprint(r) != before {
			t.Errorf("headers %v: %v, and the record is %v", headers, err, r)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("t/0/1/2"), []byte{1, 'a'})
	f.Fuzz(func(t *testing.T, original, others []byte) {
		r := sources.Record{Headers: []sources.Header{{Key: sources.HeaderOriginal, Value: original}, {Key: sources.HeaderFirst, Value: others}}}
		c, err := sources.Unpack(&r)
		if err != nil {
			return
		}
		again := sources.Record{Headers: c.Pack(nil)}
		if back, err := sources.Unpack(&again); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%+v came back as %+v, %v", c, back, err)
		}
	})
}
