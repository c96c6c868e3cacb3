// Package image holds the controls on what is inside of images: how they were built, what
// was left in them, and what is known to be wrong with what they bring. They judge where
// somebody looked into images (`bulwark image scan`, `bulwark scan --images`); the
// families' other controls judge by what a pod spec says of an image alone.
package image

import (
	"cmp"
	"embed"
	"slices"

	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.Images,
	&control.Control{
		ID: "image.exploited", Title: "Image has a vulnerability that is being exploited", Severity: control.Critical,
		Refs:  []control.Ref{control.MITRE("T1190"), control.MITRE("T1525")},
		Check: each(exploited),
	},
	&control.Control{
		ID: "image.fixable", Title: "Image has a grave vulnerability that is mended elsewhere", Severity: control.High,
		Refs:  []control.Ref{control.MITRE("T1190")},
		Check: each(fixable),
	},
	&control.Control{
		ID: "image.unsupportedos", Title: "Image's distribution gets no fixes any more", Severity: control.High,
		Check: each(endOfLife),
	},
	&control.Control{
		ID: "image.leftsecret", Title: "Credential lies in a layer of an image", Severity: control.High,
		Refs:  []control.Ref{control.MITRE("T1552.001")},
		Check: each(leftSecret),
	},
	&control.Control{
		ID: "image.builtsecret", Title: "Credential stands in an image's configuration or history", Severity: control.High,
		Refs:  []control.Ref{control.MITRE("T1552")},
		Check: each(builtSecret),
	},
	&control.Control{
		ID: "image.rootimage", Title: "Image runs as root unless told otherwise", Severity: control.Medium,
		Refs:  []control.Ref{control.CIS("5.2.7").Further()},
		Check: each(rootUser),
	},
	&control.Control{
		ID: "image.nameduser", Title: "Image names its user so that Kubernetes cannot tell it from root", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("5.2.7").Further()},
		Check: each(namedUser),
	},
	&control.Control{
		ID: "image.remoteadd", Title: "Image was built of a download that nobody checked", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1195.002")},
		Check: each(remoteAdd),
	},
	&control.Control{
		ID: "image.pipedscript", Title: "Image's build ran what it downloaded unseen", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1195.002")},
		Check: each(pipedScript),
	},
	&control.Control{
		ID: "image.uncheckeddownload", Title: "Image's build turned the check of downloads off", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1195.002"), control.MITRE("T1557")},
		Check: each(uncheckedDownload),
	},
	&control.Control{
		ID: "image.floatingbase", Title: "Image was built on whatever a tag meant that day", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1195.002")},
		Check: each(floatingBase),
	},
	&control.Control{
		ID: "image.openfiles", Title: "Image's build made files writable by everybody", Severity: control.Low,
		Check: each(openFiles),
	},
	&control.Control{
		ID: "image.setidfile", Title: "Image holds a program that gives rights away", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1548.001")},
		Check: each(setID),
	},
	&control.Control{
		ID: "image.packagemanager", Title: "Image brings the means to install more", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1105")},
		Check: each(packageManager),
	},
	&control.Control{
		ID: "image.sshinside", Title: "Image brings an SSH server", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1021.004")},
		Check: each(sshServer),
	},
	&control.Control{
		ID: "image.sudo", Title: "Image brings sudo", Severity: control.Low,
		Check: each(sudo),
	},
	&control.Control{
		ID: "image.lowport", Title: "Image listens on a port for which it asks to be root", Severity: control.Low,
		Check: each(lowPort),
	},
)

// each judges every image. What is wrong with one is its own fault, whoever runs it: the
// workloads that do are the finding's way into the cluster.
func each(judge func(i *cluster.Image, v *control.Verdict) (applies bool)) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for _, i := range s.Images() {
			src := i.Source
			src.Origin = cmp.Or(src.Origin, i.Name)
			v := &control.Verdict{Object: s.ImageRef(i), Source: src}
			if !judge(i, v) {
				continue
			}
			var by []cluster.Ref
			pods := 0
			if len(v.Findings) > 0 {
				for _, p := range s.RunBy(i) {
					if !slices.Contains(by, p.Object.Ref) {
						by = append(by, p.Object.Ref)
					}
					pods += len(p.Running)
				}
			}
			out := r.On(v.Object, v.Source)
			out.Findings = v.Findings
			for _, f := range out.Findings {
				f.Through(by...)
				f.Pods = pods
			}
		}
	}
}
