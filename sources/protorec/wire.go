package protorec

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace/feature"
)

const failed = -1

// fail records why the record is refused and returns failed.
func (d *Decoder) fail(at int, what string) int {
	d.fault = fault{feature.ReasonMalformed, "malformed Protobuf at byte " + strconv.Itoa(at) + ": " + what}
	return failed
}

// varint reads a varint between at and end.
func (d *Decoder) varint(at, end int) (uint64, int) {
	if at < end && d.data[at] < 0x80 {
		return uint64(d.data[at]), at + 1
	}
	v, n := protowire.ConsumeVarint(d.data[at:end])
	switch {
	case n > 0:
		return v, at + n
	case end-at < 10:
		return 0, d.fail(at, "a number is cut off")
	default:
		return 0, d.fail(at, "a number has more than 64 bits")
	}
}

// length reads the length of what follows and returns where that begins and
// ends; both are failed when it is longer than what is left.
func (d *Decoder) length(at, end int) (from, to int) {
	if at < end && d.data[at] < 0x80 && int(d.data[at]) < end-at { // as most are: one byte, and sound
		return at + 1, at + 1 + int(d.data[at])
	}
	n, from := d.varint(at, end)
	if from == failed {
		return failed, failed
	}
	if n > uint64(end-from) {
		return failed, d.fail(at, "a length reaches beyond the end")
	}
	return from, from + int(n)
}

// tag reads the number and wire type of a field.
func (d *Decoder) tag(at, end int) (protowire.Number, protowire.Type, int) {
	v, next := d.varint(at, end)
	if next == failed {
		return 0, 0, failed
	}
	number := v >> 3
	if number == 0 || number > uint64(protowire.MaxValidNumber) {
		return 0, 0, d.fail(at, "a field number that does not exist")
	}
	return protowire.Number(number), protowire.Type(v & 7), next
}

// skip passes over a field's value.
func (d *Decoder) skip(number protowire.Number, typ protowire.Type, at, end int) int {
	switch typ {
	case protowire.VarintType:
		_, at = d.varint(at, end)
		return at
	case protowire.Fixed32Type:
		return d.fixed(at, end, 4)
	case protowire.Fixed64Type:
		return d.fixed(at, end, 8)
	case protowire.BytesType:
		_, at = d.length(at, end)
		return at
	case protowire.StartGroupType:
		_, _, next := d.group(number, at, end)
		return next
	case protowire.EndGroupType:
		return d.fail(at, "a group ends that did not begin")
	default:
		return d.fail(at, "a wire type that does not exist")
	}
}

func (d *Decoder) fixed(at, end, size int) int {
	if end-at < size {
		return d.fail(at, "a number is cut off")
	}
	return at + size
}

// group finds the content of a group and what comes after it.
func (d *Decoder) group(number protowire.Number, at, end int) (from, to, next int) {
	content, n := protowire.ConsumeGroup(number, d.data[at:end])
	if n < 0 {
		return failed, failed, d.fail(at, "a group is not closed, or not sound")
	}
	return at, at + len(content), at + n
}
