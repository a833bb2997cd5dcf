package feature_test

import (
	"slices"
	"testing"

	"millrace/feature"
)

func TestGatherLeavesRowsOut(t *testing.T) {
	fields := []feature.Field{{Name: "n", Type: feature.Of(feature.KindInt64)}, {Name: "s", Type: feature.Of(feature.KindString)}}
	var src, dst feature.Batch
	for range 2 { // both are used again
		src.Reset(fields, 4)
		for i := range 4 {
			row := src.AppendRow(feature.Origin{Offset: int64(i)})
			src.Columns[0].SetInt(row, int64(10*i))
			if i != 3 {
				src.Columns[1].SetString(row, string(rune('a'+i)))
			}
		}
		src.AppendRow(feature.Origin{Offset: 4})
		src.RejectLast(feature.StageDecode, feature.ReasonMalformed, "")
		dst.Gather(&src, []int32{1, 3})
		if dst.Rows() != 2 || dst.Partition != 4 || len(dst.Rejects) > 0 || dst.Origins[1].Offset != 3 {
			t.Errorf("%+v", dst)
		}
		if n, s := dst.Columns[0].Ints, dst.Columns[1]; !slices.Equal(n, []int64{10, 30}) || s.Strings[0] != "b" || !s.IsNull(1) {
			t.Errorf("columns %v %v", n, s)
		}
	}
}

func TestRowsOfSeveralPartitions(t *testing.T) {
	rows := feature.Rows{Partition: 3, Origins: []feature.Origin{{Record: 1}, {Record: 0}}}
	if rows.PartitionOf(0) != 3 {
		t.Error("without partitions it is the rows' own")
	}
	rows.Partitions = []int32{5, 6}
	if rows.PartitionOf(0) != 6 || rows.PartitionOf(1) != 5 {
		t.Error("it is that of the row's record")
	}
	rows.Reset(&feature.View{}, &feature.Stored{}, nil, 3)
	if rows.Partitions != nil {
		t.Error("they outlive the rows that they were for")
	}
}
