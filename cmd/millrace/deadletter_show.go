package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/config"
	"millrace/sinks"
	"millrace/sources"
)

// letterName is how a person names a letter: its record as positions print
// everywhere, the element unless it is all of the record or the view's first
// one, and the view.
func letterName(l *sinks.Letter) string {
	partition := l.Partition
	if n := len(l.Headers); n > 0 && strings.Contains(l.Source, "/") { // of a rekeyed view: where the record was before
		if p, ok := sources.OriginalPartition(sources.Header(l.Headers[n-1])); ok {
			partition = p
		}
	}
	name := fmt.Sprintf("%s/%d@%d", l.Topic, partition, l.Offset)
	if l.Element > 0 || l.Element == 0 && l.View == "" {
		name += "#" + strconv.Itoa(int(l.Element))
	}
	if l.View != "" {
		name += ":" + l.View
	}
	return name
}

var letterNameForm = regexp.MustCompile(`^[^/@#:\s]+/\d+@-?\d+(#\d+)?(:[^/@#:\s]+)?$`)

var errNoLetter = errors.New("there is no such letter; millrace deadletter list shows their names in the column LETTER")

func newDeadletterShow(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "show TOPIC/PARTITION@OFFSET[#ELEMENT][:VIEW]",
		Short: "Print a refused record whole, with its key, value and headers",
		Long:  "Prints every letter of a record, or the one that is named to its end. The record's content is printed too, whatever it holds.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !letterNameForm.MatchString(args[0]) {
				return fmt.Errorf("show %q: write TOPIC/PARTITION@OFFSET, with #ELEMENT and :VIEW if there are several", args[0])
			}
			return withStore(cmd, g, func(ctx context.Context, _ *config.Config, store metaStore) error {
				return showLetters(ctx, cmd.OutOrStdout(), store, args[0])
			})
		},
	}
	g.addDefinitions(c)
	return c
}

// names reports whether name means l, in full or up to an element or a view.
func names(name string, l *sinks.Letter) bool {
	full := letterName(l)
	if name == full {
		return true
	}
	rest, ok := bytes.CutPrefix([]byte(full), []byte(name))
	return ok && (rest[0] == '#' || rest[0] == ':')
}

func showLetters(ctx context.Context, w io.Writer, store sinks.LetterReader, name string) error {
	found := 0
	var failed error
	err := store.EachLetter(ctx, sinks.LetterFilter{}, func(l *sinks.Letter) bool {
		if !names(name, l) {
			return true
		}
		found++
		if isTerminal(w) {
			showLetter(w, l)
		} else {
			failed = json.NewEncoder(w).Encode(l)
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("show dead letter %s: %w", name, err)
	}
	if found == 0 {
		return fmt.Errorf("show dead letter %s: %w", name, errNoLetter)
	}
	return nil
}

func showLetter(w io.Writer, l *sinks.Letter) {
	fmt.Fprintf(w, "%s\n  source    %s, catalog version %d\n  time      %s\n  refused   at %s: %s\n  message   %s\n",
		letterName(l), l.Source, l.CatalogVersion, time.UnixMilli(l.RecordMillis).UTC().Format(time.RFC3339Nano), l.Stage, l.Reason, l.Message)
	if l.Attempts > 0 {
		fmt.Fprintf(w, "  replayed  %d times\n", l.Attempts)
	}
	for _, h := range l.Headers {
		fmt.Fprintf(w, "  header    %s: %s\n", h.Key, readable(h.Value))
	}
	fmt.Fprintf(w, "  key       %s\n", readable(l.RecordKey))
	if l.Truncated {
		fmt.Fprintf(w, "  value     the first %d of %d bytes:\n", len(l.RecordValue), l.ValueBytes)
	} else {
		fmt.Fprintf(w, "  value     %d bytes:\n", len(l.RecordValue))
	}
	fmt.Fprintln(w, readable(l.RecordValue))
}

// readable prints JSON indented, other text as it is, and bytes in hex.
func readable(b []byte) string {
	var pretty bytes.Buffer
	switch {
	case b == nil:
		return "(none)"
	case len(b) > 0 && (b[0] == '{' || b[0] == '[') && json.Indent(&pretty, b, "", "  ") == nil:
		return pretty.String()
	case utf8.Valid(b) && !bytes.ContainsFunc(b, control):
		return string(b)
	}
	return hex.Dump(b)
}

// control tells bytes that would play with the terminal.
func control(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0
}
