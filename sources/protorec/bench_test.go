package protorec_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"millrace/feature"
	"millrace/sources"
	"millrace/sources/protorec"
	"millrace/sources/sourcetest"
)

const benchRecords = 500

// tripProto is the event of 14 fields that other formats are measured with.
const tripProto = `syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Trip {
  string trip_id = 1; Driver driver = 2; int64 passenger_id = 3; double fare = 4; double km = 5;
  string status = 6; string city = 7; double tip = 8; int32 rating = 9; bool surge = 10; string vehicle = 11;
  optional string promo = 12; google.protobuf.Timestamp completed_at = 13;
  repeated string tags = 14;
  message Driver { int64 id = 1; string name = 2; }
}
`

// trips are n events of 14 fields; the numbers of Schemas stand before them if
// they are framed.
func trips(tb testing.TB, md protoreflect.MessageDescriptor, n int, frame bool) []sources.Record {
	recs := make([]sources.Record, n)
	for i := range recs {
		value := encode(tb, md, fmt.Sprintf(`trip_id: "t-%08d" driver {id: %d name: "driver %d"} passenger_id: %d fare: %d.25 km: %d.5 `+
			`status: "completed" city: "Lisbon" tip: 1.5 rating: 4 surge: true vehicle: "sedan" promo: "none" `+
			`completed_at {seconds: 1700000000 nanos: 123000000}`, i, 1000+i%100, i%100, 50000+i, 10+i%40, 3+i%20))
		if frame {
			value = framed(1, value)
		}
		recs[i] = sources.Record{Offset: int64(i), TimeMillis: 1_700_000_000_000, Value: value}
	}
	return recs
}

// tripSource declares the ten fields that are decoded.
func tripSource() *feature.Source {
	src := sourceOf(declared("trip_id", "string", ""), declared("driver_id", "int64", "driver.id"), declared("passenger_id", "int64", ""),
		declared("fare", "float64", ""), declared("km", "float64", ""), declared("status", "string", ""), declared("tip", "float64", ""),
		declared("rating", "int32", ""), declared("surge", "bool", ""), declared("completed_at", "timestamp", ""))
	src.EventTime = "completed_at"
	return src
}

func BenchmarkDecode(b *testing.B) {
	md := messageOf(b, tripProto, "")
	b.Run("plain", func(b *testing.B) {
		bench(b, protorec.Settings{Message: md}, trips(b, md, benchRecords, false))
	})
	b.Run("registry", func(b *testing.B) {
		r := &registry{schemas: map[int32]sources.Schema{1: protobufSchema(tripProto)}}
		bench(b, protorec.Settings{Schemas: r}, trips(b, md, benchRecords, true))
	})
}

func bench(b *testing.B, s protorec.Settings, recs []sources.Record) {
	b.Helper()
	decoding(b, tripSource(), s, recs).Bench(b)
}

func decoding(tb testing.TB, src *feature.Source, s protorec.Settings, recs []sources.Record) sourcetest.Decoding {
	tb.Helper()
	d, err := protorec.New(src, fieldsOf(src), s)
	if err != nil {
		tb.Fatal(err)
	}
	return sourcetest.Decoding{Decoder: d, Fields: fieldsOf(src), Records: recs}
}

// BenchmarkYardstick reads the same ten fields with dynamicpb.
func BenchmarkYardstick(b *testing.B) {
	md := messageOf(b, tripProto, "")
	recs := trips(b, md, benchRecords, false)
	var wanted []protoreflect.FieldDescriptor
	for _, number := range []protoreflect.FieldNumber{1, 3, 4, 5, 6, 8, 9, 10, 13} {
		wanted = append(wanted, md.Fields().ByNumber(number))
	}
	driver := md.Fields().ByNumber(2)
	id := driver.Message().Fields().ByNumber(1)
	b.ReportAllocs()
	for b.Loop() {
		for i := range recs {
			m := dynamicpb.NewMessage(md)
			if err := proto.Unmarshal(recs[i].Value, m); err != nil {
				b.Fatal(err)
			}
			for _, fd := range wanted {
				_ = m.Get(fd)
			}
			_ = m.Get(driver).Message().Get(id)
		}
	}
	sourcetest.ReportPerEvent(b, benchRecords)
}

func TestSteadyStateAllocatesNothing(t *testing.T) { tagged(t).AllocatesNothing(t) }

func TestTenMillionMutations(t *testing.T) { tagged(t).Mutations(t) }

// tagged decodes framed trips with tags.
func tagged(t *testing.T) sourcetest.Decoding {
	t.Helper()
	md := messageOf(t, tripProto, "")
	src := tripSource()
	src.Fields = append(src.Fields, declared("tags", "list<string>", ""))
	recs := trips(t, md, benchRecords, true)
	for i := range recs {
		recs[i].Value = append(recs[i].Value, encode(t, md, `tags: ["a", "b"]`)...)
	}
	r := &registry{schemas: map[int32]sources.Schema{1: protobufSchema(tripProto)}}
	return decoding(t, src, protorec.Settings{Schemas: r}, recs)
}
