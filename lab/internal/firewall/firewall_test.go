package firewall

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/lab/internal/policy"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/knftables"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the wanted rules")

// Each archive holds objects and the rules that node a must get from them.
func TestSyncPolicyGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d archives, error %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) != 2 || archive.Files[0].Name != "in.yaml" || archive.Files[1].Name != "want" {
				t.Fatal("the archive must hold in.yaml and want")
			}
			rules, err := policy.Compile("a", parse(t, archive.Files[0].Data))
			if err != nil {
				t.Fatal(err)
			}
			nft := knftables.NewFake(knftables.IPv4Family, PolicyTable)
			for range 2 { // the second time there is something to replace
				if err := SyncPolicy(t.Context(), nft, rules); err != nil {
					t.Fatal(err)
				}
			}
			got := nft.Dump()
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("rules differ (-want +got); go test ./internal/firewall -update accepts them:\n%s", diff)
			}
		})
	}
}

func TestSyncMasquerade(t *testing.T) {
	nft := knftables.NewFake(knftables.IPv4Family, MasqueradeTable)
	own, other := netip.MustParsePrefix("10.244.0.0/24"), netip.MustParsePrefix("10.244.1.0/24")
	if err := SyncMasquerade(t.Context(), nft, own, []netip.Prefix{own, other}); err != nil {
		t.Fatal(err)
	}
	want := "add rule ip lab-net-masquerade postrouting ip saddr 10.244.0.0/24 ip daddr != { 10.244.0.0/24, 10.244.1.0/24 } masquerade"
	if got := nft.Dump(); !strings.Contains(got, want) {
		t.Errorf("table is\n%s\nwant in it\n%s", got, want)
	}
	if err := Remove(t.Context(), nft); err != nil {
		t.Fatal(err)
	}
	if got := nft.Dump(); got != "" {
		t.Errorf("after removal the table is\n%s", got)
	}
}

func parse(t *testing.T, data []byte) policy.Objects {
	t.Helper()
	var objects policy.Objects
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		var into any
		switch kind.Kind {
		case "Pod":
			pod := new(corev1.Pod)
			objects.Pods, into = append(objects.Pods, pod), pod
		case "Namespace":
			ns := new(corev1.Namespace)
			objects.Namespaces, into = append(objects.Namespaces, ns), ns
		case "NetworkPolicy":
			np := new(networkingv1.NetworkPolicy)
			objects.Policies, into = append(objects.Policies, np), np
		default:
			t.Fatalf("kind is %q", kind.Kind)
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}
