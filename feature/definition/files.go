package definition

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// File is one file of definitions.
type File struct {
	Name string
	Data []byte
}

// ReadDir reads the YAML files of a folder, ordered by name.
func ReadDir(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w; name the folder with --definitions DIR", err)
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(e.Name())) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read definitions: %w", err)
		}
		files = append(files, File{Name: e.Name(), Data: data})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read definitions: folder %s holds no .yaml file; see examples/rides for one", dir)
	}
	return files, nil
}
