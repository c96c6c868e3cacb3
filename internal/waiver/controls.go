package waiver

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

var (
	//go:embed doc/expired.md
	expiredDoc string
	//go:embed doc/invalid.md
	invalidDoc string
	//go:embed doc/overwide.md
	overwideDoc string
	//go:embed doc/unused.md
	unusedDoc string
)

// What can be wrong with a waiver. They judge waivers and not the cluster, so they are
// no part of the catalogue and have no Check: Apply reports for them.
var (
	expired = &control.Control{
		ID: "waiver.expired", Title: "Waiver is past its last day", Severity: control.Low, Since: "0.1.0", Over: []cluster.Need{cluster.Input}, Doc: expiredDoc,
	}
	invalid = &control.Control{
		ID: "waiver.invalid", Title: "Annotation that should waive a fault cannot be read", Severity: control.Medium, Since: "0.1.0", Over: []cluster.Need{cluster.Input}, Doc: invalidDoc,
	}
	overwide = &control.Control{
		ID: "waiver.overwide", Title: "Waiver is too wide, or lasts too long", Severity: control.Medium, Since: "0.1.0", Over: []cluster.Need{cluster.Input}, Doc: overwideDoc,
	}
	unused = &control.Control{
		ID: "waiver.unused", Title: "Waiver is for nothing that is broken", Severity: control.Low, Since: "0.1.0", Over: []cluster.Need{cluster.Input}, Doc: unusedDoc,
	}
)

// Controls are the controls that judge waivers, ordered by ID.
func Controls() []*control.Control { return []*control.Control{expired, invalid, overwide, unused} }
