// Package plaindisk finds storage classes that ask for disks without encryption.
package plaindisk

import (
	_ "embed"
	"strings"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is cloud.plaindisk.
var Control = &control.Control{
	ID:       "cloud.plaindisk",
	Title:    "Disks are made without encryption",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.StorageClasses},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1530")},
	Doc:      doc,
}

// switches are the parameters that say no to it. A class that says nothing gets what the
// cloud's account has set.
var switches = []string{"encrypted", "csi.storage.k8s.io/encrypted"}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, class := range cluster.All[*storagev1.StorageClass](s, "StorageClass") {
		v := r.Object(o)
		for _, key := range switches {
			if value, set := class.Parameters[key]; set && strings.EqualFold(value, "false") {
				v.Broken("parameters["+key+"]", value, "true").Because("a class cannot be changed: make it anew, and volumes with it")
			}
		}
	}
}
