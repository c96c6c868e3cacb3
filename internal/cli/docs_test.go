package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// TestDocumentedCommands: every bulwark command and make target that a document shows
// exists, with the flags it shows. What the commands do is told by the stories and by
// the end-to-end tests.
func TestDocumentedCommands(t *testing.T) {
	root := filepath.Join("..", "..")
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "lab/*.md", "lab/demo/*.md", "controls/*/*/doc.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range shownCommands(string(text)) {
			words := strings.Fields(line)
			switch words[0] {
			case "make":
				if len(words) > 1 && !strings.Contains(string(makefile), "\n"+words[1]+":") {
					t.Errorf("%s: %s: the Makefile has no such target", file, line)
				}
			default:
				commands++
				if err := parses(words[1:]); err != nil {
					t.Errorf("%s: %s: %v", file, line, err)
				}
			}
		}
	}
	if commands < 20 {
		t.Errorf("%d commands were found in %d documents: the pattern is wrong", commands, len(files))
	}
}

var (
	inline  = regexp.MustCompile("`([^`\n]+)`")
	command = regexp.MustCompile(`^(?:\$ |# )?(?:sudo (?:-E )?)?(?:time )?(?:bin/|\$\w+/)?(bulwark|kubectl bulwark|make) ([a-z].*)$`)
)

// shownCommands returns the commands in code blocks and inline code, without prompts,
// comments, pipes and what follows them.
func shownCommands(text string) []string {
	var out []string
	add := func(line string) {
		m := command.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			return
		}
		rest := m[2]
		for _, cut := range []string{" #", " |", ";", " &&", " >", "   ", "…", "` "} {
			rest, _, _ = strings.Cut(rest, cut)
		}
		out = append(out, strings.TrimPrefix(m[1], "kubectl ")+" "+strings.TrimSpace(rest))
	}
	block := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			block = !block
			continue
		}
		if block {
			add(line)
			continue
		}
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			add(m[1])
		}
	}
	return out
}

// parses reports whether the words are a command with flags that it has. Words in
// capitals stand for something, and choices are shown as a|b.
func parses(words []string) error {
	root := newRoot("bulwark", genericiooptions.NewTestIOStreamsDiscard())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for i, w := range words {
		words[i], _, _ = strings.Cut(strings.Trim(w, "[]'\"."), "|")
	}
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if cmd == root {
		return unknownCommand(root, words)
	}
	cmd.InitDefaultHelpFlag()
	var args []string
	for _, w := range rest {
		if w == "--" {
			break // what follows is another program's
		}
		args = append(args, w)
	}
	// A flag shown without its value is fine: it is being spoken about.
	if err := cmd.ParseFlags(args); err != nil && !strings.Contains(err.Error(), "flag needs an argument") && !strings.Contains(err.Error(), "invalid argument") {
		return err
	}
	return nil
}
