package app

import (
	"context"
	"log/slog"
	"time"

	"millrace/feature"
	"millrace/internal/telemetry"
	"millrace/pipeline"
	"millrace/serving"
	"millrace/sinks"
	"millrace/sources"
)

// metricEvents counts what the pipeline tells.
func metricEvents(m *telemetry.Metrics) pipeline.Events {
	return pipeline.Events{
		Assigned:     func(a sources.Assignment, _ sources.Start) { m.Lane(a.Topic, a.Number) },
		Revoked:      func(p sources.Partition, _ int) { m.ForgetLane(p.Topic, p.Number) },
		Lost:         func(p sources.Partition) { m.ForgetLane(p.Topic, p.Number) },
		Full:         func(p sources.Partition) { m.Topic(p.Topic).Paused() },
		BatchDone:    func(b *pipeline.BatchStats) { countBatch(m, b, time.Now()) },
		Retried:      func(p sources.Partition, operation string) { m.Topic(p.Topic).Retried(operation) },
		Committed:    func([]sources.Mark) { m.Committed(time.Now()) },
		CommitFailed: func(error) { m.CommitFailed() },
		Expired:      func(p sources.Partition, records int64) { m.Topic(p.Topic).Expired(records) },
		Stopped:      func(_ string, a sources.Assignment, _ error) { m.Topic(a.Topic).Stopped() },
	}
}

func countBatch(m *telemetry.Metrics, b *pipeline.BatchStats, now time.Time) {
	t := m.Topic(b.Partition.Topic)
	t.Batch(b.Records, b.Bytes, b.Rows)
	t.Tiles(b.Tiles, b.Loaded)
	t.Took(b.Decode, b.Transform, b.Write)
	undecoded(t, b.Rejects)
	lane := m.Lane(b.Partition.Topic, b.Partition.Number)
	lane.Lag(max(0, b.LogEnd-b.Next), now.Sub(time.UnixMilli(b.OldestMs)))
	lane.Holds(b.Held, b.HeldBytes)
	nowMicros := now.UnixMicro()
	for i := range b.Views {
		ends := &b.Views[i]
		v := m.View(ends.View)
		undecoded(t, ends.Rejects)
		v.Late(ends.Late)
		v.Received(ends.Received, ends.Absent)
		v.Ends(ends.Stored, ends.Superseded, ends.Filtered, ends.DeadLettered)
		for r := range ends.Rejects {
			v.Rejected(string(ends.Rejects[r].Stage), string(ends.Rejects[r].Reason))
		}
		for o := range ends.Origins {
			event := ends.Origins[o].EventMicros
			v.Fresh(time.Duration(nowMicros-event) * time.Microsecond)
			v.Arrived(time.Duration(ends.Origins[o].RecordMillis*1000-event) * time.Microsecond)
		}
	}
}

// undecoded counts the rejects of decoding in the topic's count.
func undecoded(t *telemetry.Topic, rejects []feature.Reject) {
	for i := range rejects {
		if rejects[i].Stage == feature.StageDecode {
			t.Rejected(string(rejects[i].Reason))
		}
	}
}

// logEvents logs changes of state; records are not logged.
func logEvents(log *slog.Logger) pipeline.Events {
	at := func(p sources.Partition) []any { return []any{"topic", p.Topic, "partition", p.Number} }
	return pipeline.Events{
		Assigned: func(a sources.Assignment, s sources.Start) {
			log.Info("assigned", "topic", a.Topic, "partition", a.Number, "offset", s.Offset, "held", s.Hold)
		},
		Revoked: func(p sources.Partition, unfinished int) {
			log.Info("revoked", append(at(p), "unfinished_batches", unfinished)...)
		},
		Lost: func(p sources.Partition) { log.Warn("lost", at(p)...) },
		Failed: func(p sources.Partition, operation string, err error) {
			log.Error("lane waits and retries", append(at(p), "operation", operation, "err", err)...)
		},
		Recovered: func(p sources.Partition, operation string, attempts int) {
			log.Info("lane goes on", append(at(p), "operation", operation, "attempt", attempts)...)
		},
		CommitFailed: func(err error) { log.Warn("commit will be tried again", "err", err) },
		Expired: func(p sources.Partition, records int64) {
			log.Error("the log dropped records before they were read", append(at(p), "records", records)...)
		},
		Repeated: func(p sources.Partition, records int) {
			log.Error("the source delivered records again, which is a bug: they were passed over", append(at(p), "records", records)...)
		},
		Stopped: func(source string, a sources.Assignment, err error) {
			log.Error("lane stopped", "source", source, "topic", a.Topic, "partition", a.Number, "err", err)
		},
		TopicRecreated: func(p sources.Partition) {
			log.Warn("the topic was created again: starting at its first record", at(p)...)
		},
	}
}

// RecoverEvents lets `dev` go on by itself where a person would run
// `millrace recover`: its broker may lose the end of its log in a power cut.
func RecoverEvents(meta sinks.Meta, log *slog.Logger) pipeline.Events {
	epochs := sinks.NewEpochs(meta)
	return pipeline.Events{
		Stopped: func(source string, a sources.Assignment, _ error) {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), recoverTimeout)
				defer cancel()
				offset := a.LogEnd
				if a.Committed >= 0 {
					offset = min(a.Committed, a.LogEnd)
				}
				if _, err := epochs.Recover(ctx, source, a.Number, a.TopicID, offset); err != nil {
					log.Error("recover a lane", "source", source, "partition", a.Number, "err", err)
				}
			}()
		},
	}
}

// recoverTimeout bounds the embedded store's answer.
const recoverTimeout = 10 * time.Second

// servingEvents counts what lookups and refreshes tell.
func servingEvents(m *telemetry.Metrics, log *slog.Logger) serving.Events {
	return serving.Events{
		Predicted: func(model string, o serving.Origin, detail string, n int) {
			countPredicted(m.Prediction(model), o, detail, n)
		},
		PredictionAge: func(model string, age time.Duration) { m.Prediction(model).Age(age) },
		Kept:          func(model string, end serving.KeepEnd, n int) { m.Prediction(model).Wrote(end.String(), n) },
		Refreshed: func(model, by string, end serving.RefreshEnd, n int) {
			m.Prediction(model).Refreshed(by, end.String(), n)
		},
		Done:        func(code serving.Code, took time.Duration) { m.Request("lookup", code.HTTPStatus(), took) },
		Values:      func(status serving.Status, n int) { m.Values(status.String(), n) },
		Unencodable: m.Unencodable,
		StoreRead:   m.StoreRead,
		TileRead:    m.TileRead,
		TileFailed:  sparing(log, "windows have failed"),
		Failed:      sparing(log, "a lookup failed"),
	}
}

func countPredicted(p *telemetry.Prediction, o serving.Origin, detail string, n int) {
	p.Read(o.String(), detail, n)
	switch o {
	case serving.OriginFresh:
		p.Saved(telemetry.SavedFresh, n)
	case serving.OriginStale:
		p.Saved(telemetry.SavedStale, n)
	case serving.OriginPredicted:
		p.Inferred(detail, n)
	default:
	}
}
