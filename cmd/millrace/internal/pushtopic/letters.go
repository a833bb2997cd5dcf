package pushtopic

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"millrace/serving/push"
	"millrace/sinks"
)

// MaxLetters bounds the dead letters that are returned for one receipt: a
// record with many elements may have as many.
const MaxLetters = 1000

// maxGap is how far apart two positions may be to be looked for at once: in
// between are letters of other records, which are passed over.
const maxGap = 64

// clockDoubt is how far a record's time may be from what was asked for, where
// brokers stamp records when they append them.
const clockDoubt = int64(5 * 60 * 1000) // ms

// place is one of the positions, as letters are filed.
type place struct {
	partition, day int32
	offset         int64
	at             int // index among the positions
}

// Letters implements push.Topic. It returns at most MaxLetters.
func (t *Topic) Letters(ctx context.Context, source string, at []push.Position) ([]push.Refusal, error) {
	name, err := t.nameOf(source)
	if err != nil {
		return nil, err
	}
	if err := t.topics.check(ctx, name, at); err != nil {
		return nil, err
	}
	var found []push.Refusal
	all := places(at)
	for first := 0; first < len(all) && len(found) < MaxLetters; {
		next := first + 1
		for next < len(all) && all[next].follows(&all[next-1]) {
			next++
		}
		if found, err = t.lettersOf(ctx, source, at[0].TopicID, all[first:next], found); err != nil {
			return nil, fmt.Errorf("look for dead letters of source %s: %w", source, err)
		}
		first = next
	}
	return t.lettersOfCopies(ctx, source, name, at, found)
}

// places lists where the letters of positions may be, in their order. Near
// midnight a position has two.
func places(at []push.Position) []place {
	all := make([]place, 0, len(at))
	for i := range at {
		p := &at[i]
		first, last := sinks.DayOf(p.Millis-clockDoubt), sinks.DayOf(p.Millis+clockDoubt)
		all = append(all, place{p.Partition, first, p.Offset, i})
		if last != first {
			all = append(all, place{p.Partition, last, p.Offset, i})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.day, b.day), cmp.Compare(a.offset, b.offset))
	})
	return all
}

func (p *place) follows(q *place) bool {
	return p.partition == q.partition && p.day == q.day && p.offset-q.offset <= maxGap
}

// lettersOf looks for the letters of places that are near to each other.
func (t *Topic) lettersOf(ctx context.Context, source string, topic [16]byte, near []place, found []push.Refusal) ([]push.Refusal, error) {
	number, err := t.numbers.find(ctx, source, topic, near[0].partition)
	if err != nil {
		return nil, err
	}
	r := sinks.LetterRange{
		Source: source, Partition: near[0].partition, Day: near[0].day,
		From: sinks.Position(number, near[0].offset), To: sinks.Position(number, near[len(near)-1].offset) + 1,
	}
	err = t.s.Letters.LettersAt(ctx, r, func(l *sinks.Letter) bool {
		i, ours := slices.BinarySearchFunc(near, l.Position, func(p place, at int64) int { return cmp.Compare(sinks.Position(number, p.offset), at) })
		if ours {
			found = append(found, push.Refusal{
				At: near[i].at, Element: l.Element, View: strings.Clone(l.View), Reason: l.Reason, Message: strings.Clone(l.Message),
			})
		}
		return len(found) < MaxLetters
	})
	return found, err //nolint:wrapcheck // the caller says of which source
}

// numbers remembers the numbers of topics, which never change.
type numbers struct {
	of Numbers

	mu    sync.Mutex
	known map[numbered]int64
}

type numbered struct {
	source    string
	topic     [16]byte
	partition int32
}

func (n *numbers) find(ctx context.Context, source string, topic [16]byte, partition int32) (int64, error) {
	key := numbered{source, topic, partition}
	n.mu.Lock()
	known, ok := n.known[key]
	n.mu.Unlock()
	if ok {
		return known, nil
	}
	number, err := n.of.TopicNumber(ctx, source, topic, partition)
	if err != nil {
		return 0, err //nolint:wrapcheck // the caller says of which source
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = make(map[numbered]int64)
	}
	n.known[key] = number
	return number, nil
}
