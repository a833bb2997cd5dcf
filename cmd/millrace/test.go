package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/app"
	"millrace/cmd/millrace/internal/fixtures"
	"millrace/feature/definition"
	"millrace/pipeline"
)

func newTest(g *globals) *cobra.Command {
	var run string
	var verbose bool
	c := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests beside the definitions: events in, expected features out",
		Long: "Runs the files in DIR/tests over the definitions in DIR (default: the configuration's folder),\n" +
			"in memory, at the times that they name. docs/testing-definitions.md shows how they are written.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if g.definitions != "" {
					return errors.New("test: name the folder once, as DIR or as --definitions")
				}
				g.definitions = args[0]
			}
			only, err := regexp.Compile(run)
			if err != nil {
				return fmt.Errorf("test: --run is no regular expression: %w", err)
			}
			return testDefinitions(cmd, g, only, verbose)
		},
	}
	g.addDefinitions(c)
	c.Flags().StringVar(&run, "run", "", "only tests whose names match this regular expression")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "also name the tests that pass")
	return c
}

func testDefinitions(cmd *cobra.Command, g *globals, only *regexp.Regexp, verbose bool) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	p, err := loadDefinitions(cmd.Context(), &cfg, out)
	if err != nil {
		return err
	}
	files, err := fixtures.ReadDir(cfg.Definitions)
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	r, err := fixtures.New(cmd.Context(), p, func(p *definition.Project) ([]pipeline.Route, error) { return app.TestRoutes(&cfg, p) })
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	all, err := r.Compile(cmd.Context(), files)
	if faults, ok := errors.AsType[definition.Errors](err); ok {
		fmt.Fprintf(out, "%s\n%d error(s) in the tests of %s\n", faults.Error(), len(faults), cfg.Definitions)
		return errSilent
	}
	if err != nil {
		return err //nolint:wrapcheck // says already what and where
	}
	var tests []*fixtures.Test
	for _, t := range all {
		if only.MatchString(t.Name) {
			tests = append(tests, t)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("test: the files in %s hold no test", filepath.Join(cfg.Definitions, fixtures.Folder))
	}
	if len(tests) == 0 {
		return fmt.Errorf("test: none of the %d tests in %s matches --run %s", len(all), cfg.Definitions, only)
	}
	if !r.RunAll(cmd.Context(), tests, out, verbose) {
		return errSilent
	}
	return nil
}
