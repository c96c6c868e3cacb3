package main

import (
	"bytes"
	_ "embed"
	"text/template"
)

//go:embed krew.yaml
var krewTemplate string

// krewManifest fills the manifest of the kubectl plugin with what was built.
func krewManifest(version, url string, platforms []platform, sums map[platform]string) ([]byte, error) {
	type entry struct{ OS, Arch, URI, SHA256, Bin string }
	var entries []entry
	for _, p := range platforms {
		entries = append(entries, entry{p.os, p.arch, url + "/" + version + "/" + p.archive(), sums[p], p.binary()})
	}
	t, err := template.New("krew").Option("missingkey=error").Parse(krewTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{"Version": version, "Platforms": entries}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
