package objects

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// appsPerFile is how many applications share a file.
const appsPerFile = 20

// Write writes n objects as YAML into a folder, some hundred in each file.
func Write(dir string, n int) error {
	apps := n / PerApp
	for first := 0; first < apps; first += appsPerFile {
		var out bytes.Buffer
		for app := first; app < min(first+appsPerFile, apps); app++ {
			for _, o := range App(app) {
				text, err := yaml.Marshal(o)
				if err != nil {
					return err
				}
				out.WriteString("---\n")
				out.Write(text)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("apps-%06d.yaml", first)), out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
