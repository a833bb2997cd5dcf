package pushtopic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/feature"
	"millrace/serving/push"
	"millrace/sinks"
)

func TestPositionsOfATopicThatIsNoMore(t *testing.T) {
	w := newWorld(t)
	at, err := w.topic.Publish(t.Context(), source, rows(1))
	if err != nil {
		t.Fatal(err)
	}
	w.commit(t, w.id, at[0].Partition, 1)
	w.topic.topics.forget(topic0)
	w.recreate(t)
	for name, call := range map[string]func() error{
		"passed":  func() error { _, err := w.topic.Passed(t.Context(), source, at); return err },
		"letters": func() error { _, err := w.topic.Letters(t.Context(), source, at); return err },
	} {
		if err := call(); !errors.Is(err, push.ErrOtherTopic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Receipts of the new topic are known at once, whatever is remembered.
	fresh := []push.Position{{TopicID: w.topicID(t)}}
	w.topic.topics.known[topic0] = topic{id: w.id, partitions: 3, asked: time.Now()}
	if _, err := w.topic.Passed(t.Context(), source, fresh); err != nil {
		t.Errorf("a younger topic: %v", err)
	}
	for _, partition := range []int32{3, -1} {
		if _, err := w.topic.Letters(t.Context(), source, []push.Position{{TopicID: fresh[0].TopicID, Partition: partition}}); !errors.Is(err, push.ErrOtherTopic) {
			t.Errorf("partition %d: %v", partition, err)
		}
	}
}

const noon, midnight = int64(12 * 3600 * 1000), int64(24 * 3600 * 1000)

func TestLettersOfPositions(t *testing.T) {
	w := newWorld(t)
	file := func(partition int32, offset, millis int64, element int32, view string) {
		t.Helper()
		number, err := sinks.NewEpochs(w.store).TopicNumber(t.Context(), source, w.id, partition)
		if err != nil {
			t.Fatal(err)
		}
		l := sinks.Letter{LetterID: sinks.LetterID{
			Source: source, Partition: partition, Day: sinks.DayOf(millis), Position: sinks.Position(number, offset), Element: element, View: view,
		}, Reason: feature.ReasonWrongType, Message: fmt.Sprintf("%d/%d", partition, offset)}
		if err := w.store.Put(t.Context(), []sinks.Letter{l}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(partition int32, offset, millis int64) push.Position {
		return push.Position{TopicID: w.id, Partition: partition, Offset: offset, Millis: millis}
	}
	positions := []push.Position{at(1, 5, noon), at(0, 7, noon), at(1, 6, noon), at(2, 9, noon), at(2, 9000, noon), at(1, 100, midnight-1), at(1, 101, midnight+1)}
	file(1, 5, noon, 0, "v")
	file(1, 5, noon, 3, "w")
	file(1, 7, noon, 0, "")          // of another record
	file(0, 7, noon+midnight, 0, "") // of another day, so of another topic's time
	file(2, 9000, noon, 0, "")
	file(1, 100, midnight+1, 0, "v") // stamped when it was appended
	file(1, 101, midnight+1, 0, "v")
	got, err := w.topic.Letters(t.Context(), source, positions)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, r := range got {
		text = append(text, fmt.Sprintf("%d/%d/%s/%s/%s", r.At, r.Element, r.View, r.Reason, r.Message))
	}
	want := "0/0/v/wrong_type/1/5 0/3/w/wrong_type/1/5 5/0/v/wrong_type/1/100 6/0/v/wrong_type/1/101 4/0//wrong_type/2/9000"
	if s := strings.Join(text, " "); s != want {
		t.Errorf("letters\n%s, want\n%s", s, want)
	}
	for i := range int64(MaxLetters + 10) {
		file(0, 20_000+i, noon, 0, "v")
		positions = append(positions, at(0, 20_000+i, noon))
	}
	if got, err := w.topic.Letters(t.Context(), source, positions); err != nil || len(got) != MaxLetters {
		t.Errorf("%d letters, %v", len(got), err)
	}
}

// seen counts the letters that are looked at.
type seen struct {
	sinks.LetterFinder
	n int
}

func (s *seen) LettersAt(ctx context.Context, r sinks.LetterRange, fn func(*sinks.Letter) bool) error {
	return s.LetterFinder.LettersAt(ctx, r, func(l *sinks.Letter) bool { s.n++; return fn(l) })
}

// TestLettersOfOthersAreLeftAlone: between two positions that are far apart may
// be a day of letters.
func TestLettersOfOthersAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	number, err := sinks.NewEpochs(w.store).TopicNumber(t.Context(), source, w.id, 0)
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	all := make([]sinks.Letter, n)
	for i := range all {
		all[i].LetterID = sinks.LetterID{Source: source, Position: sinks.Position(number, int64(i))}
	}
	if err := w.store.Put(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	s := &seen{LetterFinder: w.store}
	w.topic.s.Letters = s
	at := []push.Position{{TopicID: w.id, Millis: noon}, {TopicID: w.id, Offset: 10, Millis: noon}, {TopicID: w.id, Offset: n - 1, Millis: noon}}
	got, err := w.topic.Letters(t.Context(), source, at)
	if err != nil || len(got) != 3 || s.n != 12 {
		t.Errorf("%d letters of %d that were looked at, %v", len(got), s.n, err)
	}
}
