package pki

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mustParse(t testing.TB, text string) Config {
	t.Helper()
	c, err := ParseConfig("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheExampleIsWhatItSays(t *testing.T) {
	c := mustParse(t, ExampleConfig)
	if got := c.Endpoint.String(); got != "api.prod.example.com:6443" {
		t.Errorf("endpoint %s", got)
	}
	if len(c.ControlPlanes) != 3 || len(c.Workers) != 2 || len(c.ServiceCIDRs) != 2 || !c.CAKeys.OnControlPlanes {
		t.Errorf("read as %+v", c)
	}
	if c.CALifetime != DefaultAuthorityLifetime || c.LeafLifetime != DefaultLifetime {
		t.Errorf("lifetimes %s and %s", c.CALifetime, c.LeafLifetime)
	}
}

func TestTheShortestFile(t *testing.T) {
	c := mustParse(t, "controlPlanes: [{name: a, addresses: [10.0.0.1]}]")
	if c.Endpoint.String() != "10.0.0.1:6443" || c.ClusterDomain != "cluster.local" || c.Algorithm != ECDSAP256 {
		t.Errorf("defaults are %+v", c)
	}
}

func TestBadFilesAreRefusedWithLineAndReason(t *testing.T) {
	const cp = "controlPlanes: [{name: cp, addresses: [10.0.0.1]}]\n"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":                     {"", "cluster.yaml: the file is empty"},
		"not yaml":                  {"a: b\n\tc: d", "cluster.yaml:2: found a tab character that violates indentation"},
		"a list":                    {"- a", "cluster.yaml:1: cluster.yaml: want keys and values"},
		"no control plane":          {"name: x", "cluster.yaml: controlPlanes: want at least one machine"},
		"unknown key":               {cp + "workres: []", "cluster.yaml:2: cluster.yaml: unknown key \"workres\", want one of algorithm, "},
		"unknown key of a machine":  {"controlPlanes:\n- name: cp\n  address: 10.0.0.1", "cluster.yaml:3: controlPlanes: unknown key \"address\""},
		"key twice":                 {cp + "name: a\nname: b", "cluster.yaml:3: cluster.yaml: key name is there twice"},
		"alias":                     {"name: &x a\n" + cp + "clusterDomain: *x", "cluster.yaml:3: clusterDomain: aliases are not read"},
		"bad address":               {"controlPlanes:\n- {name: cp, addresses: [10.0.0.256]}", "cluster.yaml:2: controlPlanes.addresses: \"10.0.0.256\" is no address"},
		"loopback":                  {"controlPlanes:\n- {name: cp, addresses: [127.0.0.1]}", "cluster.yaml:2: controlPlanes.addresses: 127.0.0.1 is the loopback address"},
		"zone":                      {"controlPlanes:\n- {name: cp, addresses: ['fe80::1%eth0']}", "has a zone"},
		"no address":                {"controlPlanes:\n- {name: cp}", "cluster.yaml:2: controlPlanes: machine cp has no address"},
		"no name":                   {"controlPlanes:\n- {addresses: [10.0.0.1]}", "cluster.yaml:2: controlPlanes: a machine without a name"},
		"path for a name":           {"controlPlanes:\n- {name: ../x, addresses: [10.0.0.1]}", "\"../x\" is no name"},
		"reserved name":             {"controlPlanes:\n- {name: ca, addresses: [10.0.0.1]}", "ca is the name of something else in the folder"},
		"name twice":                {cp + "workers:\n- {name: cp, addresses: [10.0.0.2]}", "cluster.yaml:3: workers.name: machine cp is already at line 1"},
		"address twice":             {cp + "workers:\n- {name: w, addresses: [10.0.0.1]}", "cluster.yaml:3: workers.addresses: 10.0.0.1 is already at line 1"},
		"ranges overlap":            {cp + "serviceCIDRs: [10.96.0.0/12, 10.100.0.0/16]", "cluster.yaml:2: serviceCIDRs: 10.100.0.0/16 overlaps 10.96.0.0/12"},
		"two ranges of a family":    {cp + "serviceCIDRs: [10.96.0.0/16, 10.97.0.0/16]", "are of one family"},
		"range with host bits":      {cp + "serviceCIDRs: [10.96.0.1/12]", "want 10.96.0.0/12"},
		"range too small":           {cp + "serviceCIDRs: [10.96.0.0/30]", "too small"},
		"machine in service range":  {"controlPlanes:\n- {name: cp, addresses: [10.96.0.9]}", "cluster.yaml:2: machine cp: address 10.96.0.9 is inside the service range 10.96.0.0/12"},
		"leaf outlives authority":   {cp + "lifetimes: {ca: 1y, leaf: 2y}", "cluster.yaml:2: lifetimes.leaf: 2y is more than the 1y of lifetimes.ca"},
		"negative lifetime":         {cp + "lifetimes: {leaf: -1y}", "cluster.yaml:2: lifetimes.leaf: \"-1y\" is impossible: want at least 1h"},
		"a thousand years":          {cp + "lifetimes: {ca: 1000y}", "want at most 100y"},
		"a number beyond numbers":   {cp + "lifetimes: {ca: 99999999999999999999y}", "want at most 100y"},
		"a lifetime in minutes":     {cp + "lifetimes: {ca: 5m}", "want a number and h, d or y"},
		"algorithm":                 {cp + "algorithm: ed25519", "cluster.yaml:2: key algorithm \"ed25519\": want one of"},
		"url":                       {cp + "endpoint: https://api:6443", "want host or host:port, without https://"},
		"port":                      {cp + "endpoint: api:70000", "port \"70000\": want a number from 1 to 65535"},
		"no endpoint":               {"controlPlanes: [{name: a, addresses: [10.0.0.1]}, {name: b, addresses: [10.0.0.2]}]", "cluster.yaml:1: endpoint is missing"},
		"docker on nothing":         {cp + "docker: [x]", "cluster.yaml:2: docker: there is no machine x"},
		"age without anybody":       {cp + "caKeys: {store: age}", "store age wants recipients or passphrase: true"},
		"a private key":             {cp + "caKeys: {store: age, recipients: [AGE-SECRET-KEY-1XYZ]}", "want a public key that begins with age1"},
		"a passphrase in the file":  {cp + "caKeys: {store: age, passphrase: hunter2}", "is asked for and never written down"},
		"external, and yet given":   {cp + "caKeys: {store: external, onControlPlanes: true}", "an external store gives no key away"},
		"recipients for plain keys": {cp + "caKeys: {passphrase: true}", "are for store: age"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig("cluster.yaml", []byte(tc.text))
			var bad *ConfigError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want a ConfigError", err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got:\n%v\nwant:\n%s", err, tc.want)
			}
			for _, secret := range []string{"hunter2", "AGE-SECRET-KEY"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("a secret is repeated: %v", err)
				}
			}
		})
	}
}

// Everything that is wrong is said at once, in the order of the lines.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := ParseConfig("c.yaml", []byte("name: A\nendpoint: 'x y'\ncontrolPlanes:\n- {name: cp, addresses: [no]}\nlifetimes: {leaf: 0h}\n"))
	var bad *ConfigError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	var lines []int
	for _, p := range bad.Problems {
		lines = append(lines, p.Line)
	}
	if !slices.Equal(lines, []int{1, 2, 4, 5}) {
		t.Errorf("problems at lines %v:\n%v", lines, err)
	}
}

func TestLifetimes(t *testing.T) {
	for s, want := range map[string]time.Duration{"1h": time.Hour, "90d": 90 * day, "10y": 10 * year, "100y": 100 * year} {
		if got, err := ParseLifetime(s); err != nil || got != want || formatLifetime(got) != s {
			t.Errorf("%s: %v (%v), written as %s", s, got, err, formatLifetime(got))
		}
	}
}

// What is accepted can be written out and is the same, its bundle stays in its
// folder and writes no file twice, and nothing about it is left out.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(ExampleConfig))
	f.Add([]byte("controlPlanes: [{name: a, addresses: [10.0.0.1, 'fd00::1']}]\netcd: [{name: e, addresses: [10.0.0.2]}]\ndocker: [e]\n"))
	f.Add([]byte("controlPlanes: [{name: a, addresses: [10.0.0.1]}]\nendpoint: '[fd00::1]:443'\ncaKeys: {store: external}\nextraSANs: ['*.x', ::1]\n"))
	f.Add([]byte("name: &a {b: *a}\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig("cluster.yaml", data)
		if err != nil {
			var bad *ConfigError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		again, err := ParseConfig("cluster.yaml", c.YAML())
		if err != nil {
			t.Fatalf("written out it is refused: %v\n%s", err, c.YAML())
		}
		if diff := cmp.Diff(c, again, cmpopts.EquateEmpty(), comparers); diff != "" {
			t.Fatalf("written out it is another (-read +again):\n%s", diff)
		}
		checkBundle(t, c)
	})
}
