// Package weakprovider finds encryption configurations that write with a provider that Kubernetes advises against.
package weakprovider

import (
	"cmp"
	_ "embed"
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is encryption.weakprovider.
var Control = &control.Control{
	ID:       "encryption.weakprovider",
	Title:    "Secrets are encrypted in a weak way",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EncryptionFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.28").When(func(f *control.Finding) bool { return f.Got != "aescbc" && !strings.HasPrefix(f.Got, "kms") }),
		control.MITRE("T1552.001"),
	},
	Doc: doc,
}

var weak = map[string]string{
	"aescbc": "nothing tells that a stored value was changed",
	"aesgcm": "its key wears out after 200,000 writes, and nothing changes it by itself",
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.EncryptionFile) {
		v := r.On(c.Ref, c.Source)
		i := c.Encryption.Group("secrets")
		if i < 0 || len(c.Encryption.Resources[i].Providers) == 0 {
			continue
		}
		first := c.Encryption.Resources[i].Providers[0]
		path := fmt.Sprintf("resources[%d].providers[0]", i)
		switch why := weak[first.Kind()]; {
		case why != "":
			v.Broken(path, first.Kind(), "secretbox or kms v2").Because("%s", why)
		case first.KMS != nil && first.KMS.APIVersion != "v2":
			v.Broken(path, "kms "+cmp.Or(first.KMS.APIVersion, "v1"), "kms v2").Because("v1 is deprecated and off by default since v1.29")
		}
	}
}
