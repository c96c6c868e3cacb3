package trust

import (
	"cmp"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// A View is one certificate as it is shown, wherever it stands.
type View struct {
	Fingerprint     string
	Subject, Issuer string
	Serial          string
	Purpose         string // "" where no place tells
	Authority       bool
	NotBefore       time.Time
	NotAfter        time.Time
	// Days is how many whole days are left; negative where it has ended.
	Days      int
	Key       string
	Signature string
	Usages    []string // "serverAuth", "clientAuth", "certSign"
	Names     []string // SANs
	// Chain are the common names of its signers, the nearest first. Complete is whether
	// it ends in a root.
	Chain    []string
	Complete bool
	// TrustedBy says who believes it: for an authority itself, for a leaf its signer.
	TrustedBy []string
	Places    []Placed
}

// Placed is a place with the file that it is.
type Placed struct {
	Place
	File *File
}

// An Authority is a key that signs, with all certificates that were made for it.
type Authority struct {
	Name   string
	KeyID  string
	Prints []string
	// BelievedBy are who believes what it signs, by circle.
	BelievedBy []string
	// Signed is how many of the other certificates it signed.
	Signed int
	// Keys are where its private key lies; Encrypted whether all of them are.
	Keys      []string
	Encrypted bool
	Expires   time.Time
}

// shown makes the list of certificates: authorities first, then what ends first.
func (j *judge) shown() []View {
	out := make([]View, 0, len(j.views))
	for _, v := range j.views {
		out = append(out, j.show(v))
	}
	slices.SortStableFunc(out, func(a, b View) int {
		return cmp.Or(-compareBool(a.Authority, b.Authority), a.NotAfter.Compare(b.NotAfter), strings.Compare(a.Subject, b.Subject), a.Places[0].compare(b.Places[0].Place), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out
}

func (j *judge) show(v *view) View {
	s := View{
		Fingerprint: v.print, Subject: v.Certificate.Subject.String(), Issuer: v.Certificate.Issuer.String(), Serial: v.SerialNumber.Text(16),
		Authority: v.authority(), NotBefore: v.NotBefore, NotAfter: v.NotAfter, Days: days(j.Now, v.NotAfter),
		Key: Strength(v.Certificate), Signature: v.SignatureAlgorithm.String(), Names: sans(v.Certificate),
	}
	if p := v.purpose(); p != nil {
		s.Purpose = p.Name
	}
	for _, u := range v.ExtKeyUsage {
		s.Usages = append(s.Usages, cmp.Or(usageNames[u], "other"))
	}
	if v.IsCA && v.KeyUsage&x509.KeyUsageCertSign != 0 {
		s.Usages = append(s.Usages, "certSign")
	}
	chain, complete := j.chain(v)
	s.Complete = complete
	for _, c := range chain[1:] {
		s.Chain = append(s.Chain, c.Certificate.Subject.CommonName)
	}
	for _, c := range v.at {
		s.Places = append(s.Places, Placed{c.Place, c.File})
	}
	believed := j.circles[v.keyID]
	if !s.Authority {
		believed = j.circle(v)
	}
	for _, root := range []Root{RootClients, RootServers, RootEtcd, RootFrontProxy, rootHooks} {
		if !s.Authority && (root == RootClients && !logsIn(v.Certificate) || root == RootServers && !serves(v.Certificate)) {
			continue
		}
		s.TrustedBy = append(s.TrustedBy, believed[root]...)
	}
	return s
}

// authorities gathers the keys that sign.
func (j *judge) authorities() []Authority {
	byKey := map[string]*Authority{}
	var order []string
	for _, v := range j.views {
		if !v.authority() {
			continue
		}
		a := byKey[v.keyID]
		if a == nil {
			a = &Authority{Name: cmp.Or(v.Certificate.Subject.CommonName, v.Certificate.Subject.String()), KeyID: v.keyID}
			for _, root := range []Root{RootClients, RootServers, RootEtcd, RootFrontProxy, rootHooks} {
				a.BelievedBy = append(a.BelievedBy, j.circles[v.keyID][root]...)
			}
			byKey[v.keyID] = a
			order = append(order, v.keyID)
		}
		a.Prints = append(a.Prints, v.print)
		if v.NotAfter.After(a.Expires) {
			a.Expires = v.NotAfter
		}
	}
	for _, v := range j.views {
		if s := j.signerOf(v); s != nil && s != v && byKey[s.keyID] != nil && s.keyID != v.keyID {
			byKey[s.keyID].Signed++
		}
	}
	out := make([]Authority, 0, len(order))
	for _, id := range order {
		a := byKey[id]
		a.Encrypted = true
		for _, k := range j.Keys {
			if k.ID == id && !k.Public {
				place := k.Place.Name
				if k.Place.Machine != "" {
					place += " on " + k.Place.Machine
				}
				a.Keys = append(a.Keys, place)
				a.Encrypted = a.Encrypted && k.Encrypted
			}
		}
		a.Encrypted = a.Encrypted && len(a.Keys) > 0
		out = append(out, *a)
	}
	slices.SortStableFunc(out, func(a, b Authority) int {
		return cmp.Or(-cmp.Compare(a.Signed, b.Signed), strings.Compare(a.Name, b.Name), strings.Compare(a.KeyID, b.KeyID))
	})
	return out
}
