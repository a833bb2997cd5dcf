package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Run is what a process that owns a data folder tells about itself.
type Run struct {
	PID     int    `json:"pid"`
	Admin   string `json:"admin"` // host:port
	HTTP    string `json:"http"`
	Kafka   string `json:"kafka"`
	Project string `json:"project"`
}

func runFile(dataDir string) string { return filepath.Join(dataDir, "run.json") }

// WriteRun leaves r in dataDir, whole or not at all.
func WriteRun(dataDir string, r Run) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode run.json: %w", err)
	}
	part := runFile(dataDir) + ".part"
	if err := os.WriteFile(part, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write run.json: %w", err)
	}
	if err := os.Rename(part, runFile(dataDir)); err != nil {
		return fmt.Errorf("write run.json: %w", err)
	}
	return nil
}

// RemoveRun takes the file away when the process ends.
func RemoveRun(dataDir string) error {
	if err := os.Remove(runFile(dataDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove run.json: %w", err)
	}
	return nil
}

// ErrNotRunning means that no process says it owns the data folder.
var ErrNotRunning = errors.New("no process runs on this data folder")

// ReadRun finds the process that owns dataDir. A file left behind by a killed
// process is found out when it does not answer.
func ReadRun(dataDir string) (Run, error) {
	var r Run
	text, err := os.ReadFile(runFile(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return r, ErrNotRunning
	}
	if err != nil {
		return r, fmt.Errorf("read run.json: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read run.json: %w", err)
	}
	return r, nil
}
