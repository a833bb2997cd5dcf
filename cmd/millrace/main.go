// Command millrace is a streaming online feature store in one binary: it reads
// raw events from Kafka, turns them into features, keeps them in ScyllaDB or
// Apache Cassandra (or in an embedded store), and serves them.
//
// Invariant: only main ends the process, and whatever a user did wrong ends in
// a message that says what to do next.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		os.Exit(1)
	}
}

// errSilent is returned by commands that have already said what is wrong.
var errSilent = errors.New("already reported")

func run(ctx context.Context, args []string) error {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSilent) {
		fmt.Fprintln(os.Stderr, "millrace: "+err.Error())
	}
	return err //nolint:wrapcheck // main only asks whether there was one
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "millrace",
		Short:         "A streaming online feature store in one binary",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	g := &globals{}
	root.PersistentFlags().StringVar(&g.configFile, "config", "", "configuration file (default: millrace.yaml, if there is one)")
	root.AddCommand(
		newDev(g), newIngest(g), newServe(g), newRefresh(g),
		newCheck(g), newTest(g), newPlan(g), newApply(g), newHistory(g), newExplain(g), newSQL(g), newSchema(),
		newDraft(g), newTry(g),
		newGet(g), newPush(g), newStatus(g), newDeadletter(g), newRecover(g), newVersion(),
	)
	return root
}
