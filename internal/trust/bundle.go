package trust

import (
	"crypto/x509"
	"time"
)

// certValid is a test for certificates that are valid at the moment of judgement.
func certValid(j *judge) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool { return !j.Now.Before(c.NotBefore) && j.Now.Before(c.NotAfter) }
}

// latest is when the last of the certificates ends.
func latest(certs []*x509.Certificate) time.Time {
	var t time.Time
	for _, c := range certs {
		if c.NotAfter.After(t) {
			t = c.NotAfter
		}
	}
	return t
}

// vouches reports whether a bundle of authorities verifies a chain. Names and expiry are
// judged elsewhere.
func vouches(bundle, chain []*x509.Certificate, j *judge) bool {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range bundle {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	at := j.Now
	if leaf := chain[0]; !certValid(j)(leaf) {
		at = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// together are all certificates of the same place, in their order.
func (j *judge) together(first *Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for i := range j.Certificates {
		if j.Certificates[i].Place == first.Place {
			out = append(out, j.Certificates[i].Certificate)
		}
	}
	return out
}
