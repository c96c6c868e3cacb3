package apiconfig

import (
	"bufio"
	"bytes"
	"fmt"

	kjson "sigs.k8s.io/json"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

const (
	abacVersion      = "abac.authorization.kubernetes.io/v1beta1"
	allAuthenticated = "system:authenticated"
)

// IsABAC reports whether the first object of a file is a policy of ABAC.
func IsABAC(data []byte) bool {
	line, ok := firstObject(data)
	if !ok || !bytes.Contains(line, []byte("abac.authorization.kubernetes.io/")) {
		return false
	}
	var h header
	return kjson.UnmarshalCaseSensitivePreserveInts(line, &h) == nil && h.Kind == "Policy" && h.APIVersion == abacVersion
}

// firstObject is the first line that is neither empty nor a comment.
func firstObject(data []byte) ([]byte, bool) {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return line, true
		}
	}
	return nil, false
}

// ParseABAC reads the file of --authorization-policy-file, one object a line, as
// NewFromFile in k8s.io/kubernetes/pkg/auth/authorizer/abac does: a line that it would
// refuse keeps the API server from starting, and is an error here.
func ParseABAC(data []byte) (*cluster.Config, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has %d MB, want at most %d", len(data)>>20, MaxSize>>20)
	}
	c := &cluster.Config{Ref: cluster.Ref{Kind: "ABACPolicyFile"}, ABAC: &cluster.ABACPolicyFile{}}
	s := bufio.NewScanner(bytes.NewReader(data)) // with the API server's limit for a line
	for n := 1; s.Scan(); n++ {
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		p, err := abacPolicy(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		p.Line = n
		c.ABAC.Policies = append(c.ABAC.Policies, p)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

var errABAC = fmt.Errorf("no Policy of %s", abacVersion)

// abacPolicy reads one line, with the defaults of its version (v0/conversion.go and
// v1beta1/conversion.go in k8s.io/kubernetes/pkg/apis/abac).
func abacPolicy(line []byte) (cluster.ABACPolicy, error) {
	var doc struct {
		header `json:",inline"`
		Spec   cluster.ABACPolicy `json:"spec"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(line, &doc); err != nil {
		return cluster.ABACPolicy{}, errABAC
	}
	p := doc.Spec
	switch {
	case doc.Kind == "" || doc.APIVersion == "":
		p = cluster.ABACPolicy{}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(line, &p); err != nil {
			return p, errABAC
		}
		p.APIGroup, p.NonResourcePath = "*", ""
		if p.User == "" && p.Group == "" {
			p.Group = allAuthenticated
		}
		if p.Namespace == "" && p.Resource == "" {
			p.NonResourcePath = "*"
		}
		if p.Namespace == "" {
			p.Namespace = "*"
		}
		if p.Resource == "" {
			p.Resource = "*"
		}
	case doc.Kind != "Policy" || doc.APIVersion != abacVersion:
		return p, errABAC
	}
	if p.User == "*" || p.Group == "*" {
		p.User, p.Group = "", allAuthenticated
	}
	return p, nil
}
