package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/cmd/millrace/internal/admin"
	"millrace/cmd/millrace/internal/config"
)

func newGet(g *globals) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use:   "get SERVICE|VIEW|VIEW:FEATURE… KEY=VALUE…",
		Short: "Look features up: a table on a terminal, JSON on a pipe",
		Long:  "Look features up: a table on a terminal, JSON on a pipe. Join keys and request data are both written KEY=VALUE.",
		Example: "  millrace get eta_v1 driver_id=1001 pickup_km=3.2\n" +
			"  millrace get driver_trips:last_fare driver_trips:tier driver_id=1001",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			if server == "" {
				server = apiAddress(&cfg)
			}
			return get(cmd, server, args)
		},
	}
	c.Flags().StringVar(&server, "server", "", "host:port of the read API (default: the running dev process, or serve.http)")
	return c
}

// apiAddress finds the read API: that of the process on the data folder, or
// the configured one.
func apiAddress(c *config.Config) string {
	if r, err := admin.ReadRun(c.Store.DataDir); err == nil {
		return r.HTTP
	}
	return c.Serve.HTTP
}

// getTimeout bounds a person's lookup.
const getTimeout = 10 * time.Second

func get(cmd *cobra.Command, server string, args []string) error {
	path, body, err := getRequest(args)
	if err != nil {
		return err
	}
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, "http://"+server+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Timeout: getTimeout}).Do(req)
	if err != nil {
		return fmt.Errorf("look up at %s: %w; is millrace serve or millrace dev running there? --server chooses another", server, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", server, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", server, resp.StatusCode, errorText(text))
	}
	return printAnswer(cmd.OutOrStdout(), text)
}

// getRequest turns arguments into a call: a service alone is a GET, features
// are a POST.
func getRequest(args []string) (path string, body []byte, err error) {
	var names []string
	entity, query := map[string]any{}, url.Values{}
	for _, a := range args {
		if key, value, ok := strings.Cut(a, "="); ok {
			entity[key] = value
			if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
				entity[key] = json.RawMessage(value) // a list, or json
			}
			query.Set(key, value)
		} else {
			names = append(names, a)
		}
	}
	if len(names) == 0 {
		return "", nil, errors.New("look up: name a service, a view, or features like driver_trips:last_fare")
	}
	if len(names) == 1 && !strings.Contains(names[0], ":") {
		query.Set("include", "status,origin")
		return "/v1/lookup/" + url.PathEscape(names[0]) + "?" + query.Encode(), nil, nil
	}
	body, err = json.Marshal(map[string]any{
		"features": names, "entities": []any{entity}, "named": true, "include": []string{"status", "origin"},
	})
	if err != nil {
		return "", nil, fmt.Errorf("look up: %w", err)
	}
	return "/v1/lookup", body, nil
}

// errorText takes the message out of the API's error form.
func errorText(text []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
			Details []struct {
				Message    string `json:"message"`
				Suggestion string `json:"suggestion"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &e) != nil || e.Error.Message == "" {
		return strings.TrimSpace(string(text))
	}
	message := e.Error.Message
	var messageSb129 strings.Builder
	for _, d := range e.Error.Details {
		messageSb129.WriteString("; " + strings.TrimSpace(d.Message+" "+d.Suggestion))
	}
	message += messageSb129.String()
	return message
}

func printAnswer(w io.Writer, text []byte) error {
	f, isFile := w.(*os.File)
	if !isFile || !onTerminal(f) {
		_, err := fmt.Fprintf(w, "%s\n", bytes.TrimSpace(text))
		return err //nolint:wrapcheck // the output is gone; nothing to add
	}
	return printTable(w, text)
}

// printTable prints each value with its status and where it came from.
func printTable(w io.Writer, text []byte) error {
	var a struct {
		Features []string `json:"features"`
		Rows     []struct {
			Values map[string]json.RawMessage `json:"values"`
			Status map[string]string          `json:"status"`
			Origin map[string]*string         `json:"origin"` // null where there is nothing
		} `json:"rows"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FEATURE\tVALUE\tSTATUS\tORIGIN")
	for _, row := range a.Rows {
		for _, name := range a.Features {
			origin := ""
			if o := row.Origin[name]; o != nil {
				origin = *o
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, row.Values[name], row.Status[name], origin)
		}
	}
	return t.Flush() //nolint:wrapcheck // the output is gone; nothing to add
}
