package app

import (
	"fmt"

	"millrace/cmd/millrace/internal/config"
	"millrace/feature/definition"
	"millrace/sinks"
	"millrace/sinks/lettertopic"
)

// lettersOf says where dead letters go: to the store, and to a topic if one is
// configured. The producer lives as long as the process; every letter is
// acknowledged before Put returns, so its end loses nothing.
func lettersOf(c *config.Config, p *definition.Project, store sinks.DeadLetter) (sinks.DeadLetter, error) {
	topic := c.DeadLetter.Topic
	if topic == "" {
		return store, nil
	}
	for _, s := range p.Catalog.Sources {
		if s.Topic == topic {
			return nil, config.Problems{{Path: "deadletter.topic", Message: fmt.Sprintf(
				"%s is the topic of source %s: every letter would be read and refused again; name a topic of its own", topic, s.Name)}}
		}
	}
	client, err := KafkaClient(c, p.Catalog.Project, lettertopic.Opts()...)
	if err != nil {
		return nil, err
	}
	return lettertopic.New(store, client, topic), nil
}
