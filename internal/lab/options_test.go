package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func noEnvironment(string) string { return "" }

func TestOptionsThatCannotComeUpAreRefused(t *testing.T) {
	one, minus, many := 1, -1, 51
	for name, tc := range map[string]struct {
		options Options
		root    bool
		want    string // empty: accepted
	}{
		"the zero value, as root":       {Options{}, true, ""},
		"nodes without root":            {Options{Nodes: &one}, false, "nodes: 1 asked for, but nodes need root"},
		"a negative number of nodes":    {Options{Nodes: &minus}, true, "nodes: -1 is not between 0 and 50"},
		"more nodes than addresses":     {Options{Nodes: &many}, true, "nodes: 51 is not between 0 and 50"},
		"two control planes":            {Options{ControlPlanes: 2}, true, "control planes: 2 is not 1 or 3"},
		"a name that leaves its folder": {Options{Name: "../x"}, true, `cluster name "../x": want up to 32 lower-case letters, digits and hyphens`},
		"a name that ends badly":        {Options{Name: "x-"}, true, `cluster name "x-": want up to 32 lower-case letters, digits and hyphens`},
		"an unknown profile":            {Options{Profile: "soft"}, true, `profile "soft": want one of hardened, kubeadm, weak`},
		"a port that is none":           {Options{APIPort: 70000}, true, "API port 70000: not a port"},
		"nowhere to keep state":         {Options{}, false, "state folder: neither XDG_STATE_HOME nor HOME is set"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "nowhere to keep state" {
				tc.options.StateDir = "/state"
			}
			err := tc.options.Validate(Environment{Root: tc.root, Getenv: noEnvironment})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNodesDefaultToWhatTheUserMay(t *testing.T) {
	for root, want := range map[bool]int{true: 1, false: 0} {
		o, err := Options{StateDir: "/state"}.withDefaults(Environment{Root: root, Getenv: noEnvironment})
		if err != nil || *o.Nodes != want {
			t.Errorf("root %v: %d nodes, %v; want %d", root, *o.Nodes, err, want)
		}
	}
}

func TestStateDir(t *testing.T) {
	home := func(name string) string { return map[string]string{"HOME": "/home/ann"}[name] }
	xdg := func(name string) string {
		return map[string]string{"HOME": "/home/ann", "XDG_STATE_HOME": "/s"}[name]
	}
	for _, tc := range []struct {
		set  string
		env  Environment
		want string
	}{
		{"/x", Environment{Root: true, Getenv: noEnvironment}, "/x"},
		{"", Environment{Root: true, Getenv: xdg}, "/var/lib/bulwark/lab"},
		{"", Environment{Getenv: xdg}, "/s/bulwark/lab"},
		{"", Environment{Getenv: home}, "/home/ann/.local/state/bulwark/lab"},
	} {
		got, err := StateDir(tc.set, tc.env)
		if err != nil || got != tc.want {
			t.Errorf("StateDir(%q, root %v) = %q, %v; want %q", tc.set, tc.env.Root, got, err, tc.want)
		}
	}
}

func TestComponentsAreFoundInOrder(t *testing.T) {
	make := func(dir string) string {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range controlPlaneComponents {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	root := t.TempDir()
	t.Chdir(root)
	flag, variable, beside, built := make(root+"/flag"), make(root+"/variable"), make(root+"/program/lab"), make(root+"/bin/lab")
	nodes := 0
	env := Environment{Executable: root + "/program/bulwark", Getenv: func(string) string { return variable }}
	find := func(o Options) string {
		o.Nodes = &nodes
		c, err := findComponents(o, env)
		if err != nil {
			t.Fatal(err)
		}
		return string(c)
	}
	if got := find(Options{Components: flag}); got != flag {
		t.Errorf("with a flag: %s", got)
	}
	if got := find(Options{}); got != variable {
		t.Errorf("with a variable: %s", got)
	}
	env.Getenv = noEnvironment
	if got := find(Options{}); got != beside {
		t.Errorf("beside the program: %s", got)
	}
	if err := os.RemoveAll(beside); err != nil {
		t.Fatal(err)
	}
	if got := find(Options{}); got != built {
		t.Errorf("where the build puts them: %s", got)
	}
}

func TestMissingComponentsAreNamed(t *testing.T) {
	dir := t.TempDir()
	nodes := 0
	_, err := findComponents(Options{Components: dir, Nodes: &nodes}, Environment{Executable: "/x/bulwark", Getenv: noEnvironment})
	if err == nil || !strings.Contains(err.Error(), "no etcd in "+dir) {
		t.Errorf("got %v, want the missing etcd named", err)
	}
	var hinter interface{ Hint() string }
	if hinter, _ = err.(interface{ Hint() string }); hinter == nil || hinter.Hint() != "make lab" {
		t.Errorf("got hint %v, want make lab", hinter)
	}
}
