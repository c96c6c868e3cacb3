// Package file holds the controls on modes and owners of files that differ in little
// but data. Numbers of the CIS benchmark ask for root:root; where a mode gives the
// group nothing, which group that is says nothing, so it is not judged.
package file

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Permission bits that a control may not want.
const (
	open     = 0o077 // anything for group and others
	writable = 0o022 // writing for group and others
	others   = 0o007 // anything for others
	nobody   = 0     // it judges the owner alone
)

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.HostFiles,
	&control.Control{
		ID: "file.writableconfig", Title: "Component's configuration is writable by others", Severity: control.High,
		Refs: []control.Ref{control.MITRE("T1543"), control.MITRE("T1611")},
		Check: each(writable, "0644 or less", "root", func(_ *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.ConfigFile
		}),
	},
	&control.Control{
		ID: "file.cniconfig", Title: "Network plugin's configuration is open to others", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("1.1.9").At("mode"), control.CIS("1.1.10").At("owner"), control.MITRE("T1613")},
		Check: each(open, "0600", "root", func(_ *cluster.Machine, f cluster.File) bool { return cni(f) }),
	},
	&control.Control{
		ID: "file.kubeletunit", Title: "Kubelet's service file is open to others", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("4.1.1").At("mode"), control.CIS("4.1.2").At("owner"), control.MITRE("T1543.002")},
		Check: each(open, "0600", "root", func(_ *cluster.Machine, f cluster.File) bool { return unit(f) }),
	},
	&control.Control{
		ID: "file.kubeletfile", Title: "Kubelet's configuration is open to others", Severity: control.Low,
		Refs: []control.Ref{control.CIS("4.1.9").At("mode"), control.CIS("4.1.10").At("owner"), control.MITRE("T1613")},
		Check: each(open, "0600", "root", func(_ *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.ConfigFile && f.UsedBy == "kubelet" && !unit(f) && !cni(f)
		}),
	},
	&control.Control{
		ID: "file.certificatefile", Title: "Certificate or authority is writable by others", Severity: control.High,
		Refs: []control.Ref{
			control.CIS("1.1.19").At("owner"),
			control.CIS("1.1.20").On("*.crt").At("mode"),
			control.CIS("4.1.7").On("*ca.crt").At("mode"),
			control.CIS("4.1.8").On("*ca.crt").At("owner"),
			control.MITRE("T1553.004"),
		},
		Check: each(writable, "0644 or less", "root", func(_ *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.Certificate
		}),
	},
	&control.Control{
		ID: "file.pkifolder", Title: "Folder of keys is writable by others", Severity: control.High,
		Refs: []control.Ref{control.CIS("1.1.19").At("owner"), control.MITRE("T1553.004")},
		Check: each(writable, "0755 or less", "root", func(m *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.Directory && above(m, f, cluster.PrivateKey)
		}),
	},
	&control.Control{
		ID: "file.manifestfolder", Title: "Folder of static pods is writable by others", Severity: control.Critical,
		Refs: []control.Ref{control.MITRE("T1053.007"), control.MITRE("T1611")},
		Check: each(writable, "0755 or less", "root", func(m *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.Directory && (path.Base(f.Path) == "manifests" || above(m, f, cluster.StaticPod))
		}),
	},
	&control.Control{
		ID: "file.openruntime", Title: "Everybody on the machine may command its container runtime", Severity: control.Critical,
		Refs: []control.Ref{control.MITRE("T1609"), control.MITRE("T1611")},
		Check: each(others, "0660 or less", "root", func(_ *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.Socket
		}),
	},
	&control.Control{
		ID: "file.dataowner", Title: "etcd's data belongs to another user than etcd's", Severity: control.Medium,
		Refs: []control.Ref{control.CIS("1.1.12"), control.MITRE("T1005")},
		Check: each(nobody, "", "etcd's user, or root", func(_ *cluster.Machine, f cluster.File) bool {
			return f.Role == cluster.DataDir
		}),
	},
)

// each judges the files that are meant: that their mode has none of the bits, and that
// their owner is root or the user of the component that uses them.
func each(bits uint32, mode, owner string, meant func(*cluster.Machine, cluster.File) bool) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for _, m := range s.Machines() {
			for _, f := range m.Files {
				if !meant(m, f) {
					continue
				}
				v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
				if f.Mode&bits != 0 && !f.Shielded {
					v.Broken("mode", fmt.Sprintf("%04o", f.Mode), mode)
				}
				if who := machine.Stranger(m, f); who != "" {
					v.Broken("owner", who, owner)
				}
			}
		}
	}
}

// cni finds the configuration of network plugins: /etc/cni/net.d, and the like of k3s
// and OpenShift.
func cni(f cluster.File) bool {
	return f.Role == cluster.ConfigFile && strings.Contains(f.Path, "/cni/net.d/")
}

func unit(f cluster.File) bool {
	return f.Role == cluster.ConfigFile && strings.Contains(f.Path, "/kubelet.service")
}

// above reports whether a folder holds a file of a role.
func above(m *cluster.Machine, dir cluster.File, role cluster.FileRole) bool {
	return slices.ContainsFunc(m.Files, func(f cluster.File) bool { return f.Role == role && path.Dir(f.Path) == dir.Path })
}
