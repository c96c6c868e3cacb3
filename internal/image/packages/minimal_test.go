package packages

import (
	"io/fs"
	"testing"
)

func TestMinimal(t *testing.T) {
	for _, c := range []struct {
		path           string
		mode           fs.FileMode
		shell, manager bool
	}{
		{"bin/bash", 0o755, true, false},
		{"usr/bin/dash", 0o755, true, false},
		{"bin/busybox", 0o755, true, false},
		{"busybox/sh", 0o755, true, false},
		{"opt/microsoft/powershell/7/pwsh", 0o755, true, false},
		{"usr/bin/apt-get", 0o755, false, true},
		{"sbin/apk", 0o755, false, true},
		{"usr/bin/dnf-3", 0o755, false, true},
		{"usr/local/bin/pip3.11", 0o755, false, true},
		{"usr/local/bin/pip", 0o755, false, true},
		{"usr/local/bin/pipeline", 0o755, false, false},
		{"usr/local/lib/node_modules/npm/bin/npm-cli.js", 0o755, false, true},
		{"bin/bash", 0o644, false, false},
		{"etc/cron.daily/dpkg", 0o755, false, false},
		{"usr/share/bash-completion/completions/apt", 0o755, false, false},
		{"usr/bin/bashbug", 0o755, false, false},
	} {
		f := file(c.path, "\x7fELF")
		f.Mode = c.mode
		if got := minimal.Wants(f); got != (c.shell || c.manager) {
			t.Errorf("%s %o: wanted %t", c.path, c.mode, got)
			continue
		} else if !got {
			continue
		}
		if found := read(t, f); found.Shell != c.shell || found.Manager != c.manager {
			t.Errorf("%s: shell %t, manager %t, want %t, %t", c.path, found.Shell, found.Manager, c.shell, c.manager)
		}
	}
}
