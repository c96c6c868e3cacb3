package main

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/bulwark-k8s/bulwark/internal/cli"
)

// manPages writes a page for every command that help shows.
func manPages(dir, version string, at time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := cli.Command()
	quiet(root)
	return doc.GenManTree(root, &doc.GenManHeader{
		Section: "1", Date: &at, Source: "Bulwark " + version, Manual: "Bulwark",
	}, dir)
}

// quiet leaves out of every page by what it was made, and when.
func quiet(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	for _, c := range cmd.Commands() {
		quiet(c)
	}
}

// completions writes what each shell loads, by the name under which it looks for it.
func completions(dir string) error {
	root := cli.Command()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"bulwark.bash": func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"_bulwark":     func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"bulwark.fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
		"bulwark.ps1":  func(b *bytes.Buffer) error { return root.GenPowerShellCompletionWithDesc(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil { //nolint:gosec // everybody may read it
			return err
		}
	}
	return nil
}
