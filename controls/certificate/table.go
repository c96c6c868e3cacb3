// Package certificate holds the controls on certificates that machines show: those that
// components serve, and those in files. Time is the machine's own when it was looked at.
package certificate

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.HostFiles,
	&control.Control{
		ID: "certificate.expired", Title: "Certificate is out of date", Severity: control.High,
		Over:  []cluster.Need{cluster.HostFiles, cluster.Listeners},
		Refs:  []control.Ref{control.NSA("Transport layer security")},
		Check: each(expired),
	},
	&control.Control{
		ID: "certificate.expiring", Title: "Certificate is about to expire", Severity: control.Medium,
		Over:  []cluster.Need{cluster.HostFiles, cluster.Listeners},
		Refs:  []control.Ref{control.NSA("Transport layer security")},
		Check: each(expiring),
	},
	&control.Control{
		ID: "certificate.weakkey", Title: "Certificate rests on a weak key or signature", Severity: control.Medium,
		Over:  []cluster.Need{cluster.HostFiles, cluster.Listeners},
		Refs:  []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1649")},
		Check: each(weak),
	},
)

// each judges every certificate. A file that no component uses and that is no
// kubeconfig is a leftover, and left alone.
func each(judge func(c cluster.CertificateFacts, now time.Time, v *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for _, m := range s.Machines() {
			for _, f := range m.Files {
				if len(f.Certificates) == 0 || f.UsedBy == "" && f.Role != cluster.Kubeconfig {
					continue
				}
				v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
				for _, c := range f.Certificates {
					judge(c, m.Seen, v)
				}
			}
			for _, l := range m.Listeners {
				if t := l.TLS; t != nil && machine.Guards(l) {
					judge(cluster.CertificateFacts{
						Subject: t.Subject, NotBefore: t.NotBefore, NotAfter: t.NotAfter, Key: t.Key, Signature: t.Signature,
					}, m.Seen, r.On(cluster.ListenerRef(m.Name, l), m.Source))
				}
			}
		}
	}
}

const unseen = "the machine's facts do not say when it was looked at"

func expired(c cluster.CertificateFacts, now time.Time, v *control.Verdict) {
	switch {
	case c.NotAfter.IsZero():
	case now.IsZero():
		v.Unknown("notAfter", unseen)
	case now.After(c.NotAfter):
		v.Broken("notAfter", day(c.NotAfter), "a date to come").Because("it is %s", c.Subject)
	}
}

// expiring leaves to an authority, whose change takes every machine, 180 days, and to
// others 30, but no more than a tenth of their life: kubelets renew theirs when between
// 70 and 90 % of it are over (k8s.io/client-go/util/certificate/certificate_manager.go).
func expiring(c cluster.CertificateFacts, now time.Time, v *control.Verdict) {
	if c.NotAfter.IsZero() {
		return
	}
	if now.IsZero() {
		v.Unknown("notAfter", unseen)
		return
	}
	margin := 30 * 24 * time.Hour
	if c.CA {
		margin = 180 * 24 * time.Hour
	}
	if !c.NotBefore.IsZero() {
		margin = min(margin, c.NotAfter.Sub(c.NotBefore)/10)
	}
	if left := c.NotAfter.Sub(now); left >= 0 && left < margin {
		v.Broken("notAfter", day(c.NotAfter), "a later date").Because("it is %s and has %s left", c.Subject, days(left))
	}
}

// weak goes by what nobody issues any more: RSA below 2048 bits, curves below 224, and
// signatures with MD5 or SHA-1. That of an authority is not relied on.
func weak(c cluster.CertificateFacts, _ time.Time, v *control.Verdict) {
	kind, size, _ := strings.Cut(c.Key, " ")
	if n, err := strconv.Atoi(size); err == nil && (kind == "RSA" && n < 2048 || kind == "ECDSA" && n < 224) {
		v.Broken("key", c.Key, "RSA of 2048 bits or more, ECDSA or Ed25519").Because("it is %s", c.Subject)
	}
	if s := strings.ToUpper(c.Signature); !c.CA && (strings.Contains(s, "SHA1") || strings.Contains(s, "MD5")) {
		v.Broken("signature", c.Signature, "SHA-256 or better").Because("it is %s", c.Subject)
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
