package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// window is a part of a partition's log, [start, end).
type window struct{ start, end int64 }

// partitionLog is what a partition has of the part that was asked for.
type partitionLog struct {
	number int32
	window
}

// logsOf asks the brokers what there is to read.
func logsOf(ctx context.Context, connect Connect, s *Settings) ([]partitionLog, error) {
	client, err := connect(kgo.RequestRetries(2))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, s.Wait)
	defer cancel()
	adm := kadm.NewClient(client)
	found, err := adm.ListTopics(ctx, s.Topic)
	if err == nil {
		err = found[s.Topic].Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("read records of topic %s: the brokers have no such topic; correct its name, or let its producer create it", s.Topic)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the brokers for topic %s: %w", s.Topic, err)
	}
	starts, err := startsOf(ctx, adm, s)
	if err != nil {
		return nil, fmt.Errorf("ask the brokers where topic %s begins: %w", s.Topic, err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, s.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask the brokers where topic %s ends: %w", s.Topic, err)
	}
	return between(starts[s.Topic], ends[s.Topic], s), nil
}

func startsOf(ctx context.Context, adm *kadm.Client, s *Settings) (starts kadm.ListedOffsets, err error) {
	if s.From != nil && s.From.Back > 0 {
		starts, err = adm.ListOffsetsAfterMilli(ctx, s.Now.Add(-s.From.Back).UnixMilli(), s.Topic)
	} else {
		starts, err = adm.ListStartOffsets(ctx, s.Topic)
	}
	if err == nil {
		err = starts.Error()
	}
	return starts, err //nolint:wrapcheck // the caller says what was asked
}

func between(starts, ends map[int32]kadm.ListedOffset, s *Settings) []partitionLog {
	var logs []partitionLog
	for n, end := range ends {
		w := window{starts[n].Offset, end.Offset}
		if s.From != nil && s.From.Latest {
			w = window{end.Offset, math.MaxInt64} // it is to come
		}
		if w.start < w.end {
			logs = append(logs, partitionLog{n, w})
		}
	}
	return logs
}

// allot shares n places of the log out, to each partition as many as to every
// other as far as it has them: its last ones with newest, else its first ones.
// all says that the windows leave nothing out.
func allot(logs []partitionLog, n int64, newest bool) (windows map[int32]window, all bool) {
	slices.SortFunc(logs, func(a, b partitionLog) int {
		return cmp.Or(cmp.Compare(a.end-a.start, b.end-b.start), cmp.Compare(a.number, b.number))
	})
	windows, all = make(map[int32]window, len(logs)), true
	for i, l := range logs {
		if l.end == math.MaxInt64 {
			windows[l.number] = l.window
			continue
		}
		sharing := int64(len(logs) - i)
		take := min(l.end-l.start, (n+sharing-1)/sharing)
		all = all && take == l.end-l.start
		n -= take
		switch {
		case take == 0:
		case newest:
			windows[l.number] = window{l.end - take, l.end}
		default:
			windows[l.number] = window{l.start, l.start + take}
		}
	}
	return windows, all
}
