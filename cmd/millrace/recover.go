package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/config"
	"millrace/sinks"
)

func newRecover(g *globals) *cobra.Command {
	var partition int32
	var at int64
	c := &cobra.Command{
		Use:   "recover SOURCE --partition P",
		Short: "Let a lane go on that stopped because its log lost records",
		Long: "A lane stops when the group's offset lies beyond the log's end: the log lost records. Recover lets it go on at " +
			"min(committed, log end), or later with --at, never earlier. Records that the log lost are gone; what was stored of them stays.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd, g, func(ctx context.Context, cfg *config.Config, meta metaStore) error {
				offset, err := recoverLane(ctx, cfg, meta, args[0], partition, at)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "source %s, partition %d: goes on at offset %d within seconds\n", args[0], partition, offset)
				return nil
			})
		},
	}
	g.addDefinitions(c)
	c.Flags().Int32Var(&partition, "partition", -1, "the partition whose lane stopped")
	c.Flags().Int64Var(&at, "at", -1, "go on at this offset instead, which must not be earlier")
	if err := c.MarkFlagRequired("partition"); err != nil {
		panic(err) // the flag is defined three lines above
	}
	return c
}

// recoverLane records where a lane goes on. The lane finds the record by
// itself, so this works while the group is active.
func recoverLane(ctx context.Context, cfg *config.Config, meta sinks.Meta, source string, partition int32, at int64) (int64, error) {
	p, err := app.LoadApplied(ctx, meta)
	if err != nil {
		return 0, err //nolint:wrapcheck // says already what and where
	}
	src := app.FindSource(p.Catalog, source)
	if src == nil || src.Topic == "" {
		return 0, fmt.Errorf("recover source %s: the catalog has no such source with a topic", source)
	}
	client, err := app.KafkaClient(cfg, p.Catalog.Project)
	if err != nil {
		return 0, err //nolint:wrapcheck // says already what and where
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	offset, err := recoveryOffset(ctx, adm, app.Group(cfg, p.Catalog.Project), src.Topic, partition)
	if err != nil {
		return 0, err
	}
	if at >= 0 {
		if at < offset {
			return 0, fmt.Errorf("recover source %s: --at %d is earlier than %d, and earlier records were used already", source, at, offset)
		}
		offset = at
	}
	details, err := adm.ListTopics(ctx, src.Topic)
	if err != nil {
		return 0, fmt.Errorf("find the identity of topic %s: %w", src.Topic, err)
	}
	if _, err := sinks.NewEpochs(meta).Recover(ctx, source, partition, [16]byte(details[src.Topic].ID), offset); err != nil {
		return 0, fmt.Errorf("record the recovery: %w", err)
	}
	return offset, nil
}

func recoveryOffset(ctx context.Context, adm *kadm.Client, group, topic string, partition int32) (int64, error) {
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("find the end of topic %s: %w", topic, err)
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok {
		return 0, fmt.Errorf("recover topic %s: it has no partition %d", topic, partition)
	}
	committed, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("find the offsets of group %s: %w", group, err)
	}
	c, ok := committed.Lookup(topic, partition)
	if !ok {
		return end.Offset, nil
	}
	return min(c.At, end.Offset), nil
}
