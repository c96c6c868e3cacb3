// Package auditlog reads the API server's audit log (audit.k8s.io/v1, one event a line,
// or lists of them as webhooks receive them) and says what was asked, by whom, and
// whether it was allowed. It keeps nothing of a request's or an object's content but the
// signer of a certificate.
package auditlog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// MaxEvent is the size of the longest event that is read, in bytes. An event holds two
// objects at most, and etcd takes none larger than some MB; lists at the level
// RequestResponse can be larger, and are counted as unread.
const MaxEvent = 64 << 20

// An Outcome is what became of a request.
type Outcome int

// The outcomes.
const (
	// Received is a request whose end the event does not tell.
	Received Outcome = iota
	// Allowed was authorized, and perhaps refused by admission or not found afterwards.
	Allowed
	// Denied was not authorized.
	Denied
	// Dropped did not come as far as authorization.
	Dropped
)

// An Event is one stage of one request.
type Event struct {
	ID    string
	Stage string
	Time  time.Time
	// Request is by whom it counts: the one who was impersonated, where somebody was.
	Request authz.Attributes
	Outcome Outcome
	// Refused is true for what was authorized and yet forbidden: by admission, or by the
	// check that keeps rights from being escalated.
	Refused bool
	// Created is true where an update or patch made the object.
	Created bool
	// Impersonator asked for it in the name of Request.User; nil where nobody did.
	Impersonator *authz.User
	// Constraint is the mode of a constrained impersonation: "impersonate:user-info".
	Constraint string
	// Impersonating is true where what was denied is the impersonation.
	Impersonating bool
	// Signer is the one of a certificate that was approved or signed, where the log tells.
	Signer string
}

// The stages that end a request.
const (
	Complete = "ResponseComplete"
	Panic    = "Panic"
	Started  = "ResponseStarted"
)

// Unread counts what was in the log and could not be taken.
type Unread struct {
	Lines int
	// First says why, with the line's number.
	First error
}

// Read gives every event of a log to f, in order, and stops with f's error. Gzip is
// recognised. What is no event is counted and passed over.
func Read(r io.Reader, f func(*Event) error) (Unread, error) {
	var unread Unread
	in := bufio.NewReaderSize(r, 1<<20)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return unread, fmt.Errorf("reading gzip: %w", err)
		}
		defer z.Close() //nolint:errcheck // the end of the data has told
		in = bufio.NewReaderSize(z, 1<<20)
	}
	skip := func(line int, err error) {
		if unread.Lines++; unread.First == nil {
			unread.First = fmt.Errorf("line %d: %w", line, err)
		}
	}
	var long []byte
	for n := 1; ; n++ {
		line, err := readLine(in, &long)
		if errors.Is(err, errTooLong) {
			skip(n, err)
			continue
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			events, why := parse(line)
			if why != nil {
				skip(n, why)
			}
			for i := range events {
				e, why := events[i].event()
				if why != nil {
					skip(n, why)
					continue
				}
				if err := f(e); err != nil {
					return unread, err
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return unread, nil
		case err != nil:
			return unread, err
		}
	}
}

var errTooLong = fmt.Errorf("an event of more than %d MB", MaxEvent>>20)

// readLine returns a line, which is valid until the next one is read. Of one that is too
// long nothing is kept.
func readLine(in *bufio.Reader, long *[]byte) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	*long = append((*long)[:0], line...)
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = in.ReadSlice('\n')
		if tooLong = tooLong || len(*long)+len(line) > MaxEvent; !tooLong {
			*long = append(*long, line...)
		}
	}
	if tooLong && (err == nil || errors.Is(err, io.EOF)) {
		return nil, errTooLong
	}
	return *long, err
}

type (
	user struct {
		Username string   `json:"username"`
		UID      string   `json:"uid"`
		Groups   []string `json:"groups"`
	}
	impersonated struct {
		user
		Extra map[string][]string `json:"extra"`
	}
	// An entry is an audit event, as far as it is looked at
	// (k8s.io/apiserver/pkg/apis/audit/v1/types.go).
	entry struct {
		Kind             string        `json:"kind"`
		APIVersion       string        `json:"apiVersion"`
		AuditID          string        `json:"auditID"`
		Stage            string        `json:"stage"`
		StageTimestamp   string        `json:"stageTimestamp"`
		RequestURI       string        `json:"requestURI"`
		Verb             string        `json:"verb"`
		User             user          `json:"user"`
		ImpersonatedUser *impersonated `json:"impersonatedUser"`
		Authentication   struct {
			Constraint string `json:"impersonationConstraint"`
		} `json:"authenticationMetadata"`
		ObjectRef *struct {
			APIGroup    string `json:"apiGroup"`
			APIVersion  string `json:"apiVersion"`
			Resource    string `json:"resource"`
			Subresource string `json:"subresource"`
			Namespace   string `json:"namespace"`
			Name        string `json:"name"`
		} `json:"objectRef"`
		ResponseStatus *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"responseStatus"`
		Annotations struct {
			Decision string `json:"authorization.k8s.io/decision"`
		} `json:"annotations"`
		RequestObject json.RawMessage `json:"requestObject"`
	}
	list struct {
		Items []entry `json:"items"`
	}
)

const (
	apiVersion = "audit.k8s.io/v1"
	eventKind  = "Event"
	listKind   = "EventList"
)

func parse(line []byte) ([]entry, error) {
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("no JSON of an audit event: %w", err)
	}
	switch {
	case e.APIVersion != apiVersion:
	case e.Kind == eventKind:
		return []entry{e}, nil
	case e.Kind == listKind:
		var l list
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("no JSON of a list of audit events: %w", err)
		}
		return l.Items, nil
	}
	return nil, fmt.Errorf("kind %.40q of %.40q, want %s of %s", e.Kind, e.APIVersion, eventKind, apiVersion)
}

func (e *entry) event() (*Event, error) {
	if e.Verb == "" || e.Stage == "" || e.RequestURI == "" && e.ObjectRef == nil {
		return nil, errors.New("an event without verb, stage or request URI")
	}
	out := &Event{ID: e.AuditID, Stage: e.Stage, Request: e.request()}
	if t, err := time.Parse(time.RFC3339Nano, e.StageTimestamp); err == nil {
		out.Time = t
	}
	who := authz.User{Name: e.User.Username, Groups: e.User.Groups, UID: e.User.UID}
	out.Request.User = who
	if i := e.ImpersonatedUser; i != nil && i.Username != "" {
		out.Impersonator, out.Constraint = &who, e.Authentication.Constraint
		out.Request.User = authz.User{Name: i.Username, Groups: i.Groups, UID: i.UID, Extra: i.Extra}
	}
	code := 0
	if e.ResponseStatus != nil {
		code = e.ResponseStatus.Code
	}
	// The request may have been written before the end of authorization, and be no more
	// than received; afterwards every stage has the decision (WithAuthorization in
	// k8s.io/apiserver/pkg/endpoints/filters/authorization.go). What was impersonated,
	// throttled or malformed in vain never came so far. Logs that were passed on may have
	// lost the annotations; there the code has to tell.
	switch {
	case e.Annotations.Decision == "allow":
		out.Outcome, out.Refused = Allowed, code == 403
		out.Created = code == 201 && (e.Verb == "update" || e.Verb == "patch")
	case e.Annotations.Decision == "forbid":
		out.Outcome = Denied
	case code == 0:
	case code == 403:
		out.Outcome = Denied
		out.Impersonating = strings.Contains(e.ResponseStatus.Message, "cannot impersonate")
	case code < 400, code == 404, code == 409, code == 422:
		out.Outcome = Allowed
		out.Created = code == 201 && (e.Verb == "update" || e.Verb == "patch")
	default:
		out.Outcome = Dropped
	}
	if out.Outcome == Allowed && out.Request.Resource == "certificatesigningrequests" {
		out.Signer = signer(e.RequestObject)
	}
	return out, nil
}

// request returns what was authorized. The reference to the object is filled from there,
// but for what is made: its name, and a namespace written in it, come from its content,
// while the API server decides by the path (LogRequestObject in
// k8s.io/apiserver/pkg/audit/request.go).
func (e *entry) request() authz.Attributes {
	path := e.RequestURI
	if u, err := url.ParseRequestURI(e.RequestURI); err == nil {
		path = u.Path
	}
	o := e.ObjectRef
	if o == nil || o.Resource == "" {
		path, _, _ = strings.Cut(path, "?")
		return authz.URL(e.Verb, path)
	}
	a := authz.Attributes{
		Verb: e.Verb, Group: o.APIGroup, Version: o.APIVersion, Resource: o.Resource, Subresource: o.Subresource,
		Namespace: o.Namespace, Name: o.Name, ResourceRequest: true,
	}
	if e.Verb == "create" {
		a.Namespace, a.Name = placeOf(path, &a)
	}
	return a
}

// placeOf returns the namespace and name that a path has (NewRequestInfo in
// k8s.io/apiserver/pkg/endpoints/request/requestinfo.go).
func placeOf(path string, a *authz.Attributes) (namespace, name string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	prefix := 3 // apis, group, version
	if parts[0] == "api" {
		prefix = 2
	}
	if len(parts) <= prefix || parts[0] != "api" && parts[0] != "apis" {
		// A path that is not the API's own: what is made has no name.
		if a.Subresource == "" {
			return a.Namespace, ""
		}
		return a.Namespace, a.Name
	}
	parts = parts[prefix:]
	if parts[0] == "namespaces" && len(parts) > 1 {
		namespace = parts[1]
		if len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
			parts = parts[2:]
		}
	}
	if len(parts) > 1 {
		name = parts[1]
	}
	return namespace, name
}

// signer is that of a CertificateSigningRequest.
func signer(object json.RawMessage) string {
	var csr struct {
		Spec struct {
			SignerName string `json:"signerName"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(object, &csr) // another kind's spec has none
	return csr.Spec.SignerName
}

// Impersonations are what an impersonator had to be allowed, in the mode that was used
// (k8s.io/apiserver/pkg/endpoints/filters/impersonation/mode.go). The groups that
// authentication adds by itself are taken as added, which the log cannot tell from asked for.
func (e *Event) Impersonations() []authz.Attributes {
	if e.Impersonator == nil {
		return nil
	}
	who := e.Request.User
	verb, group := "impersonate", ""
	var out []authz.Attributes
	add := func(verb, group, resource, sub, namespace, name string) {
		out = append(out, authz.Attributes{
			User: *e.Impersonator, Verb: verb, Group: group, Version: "v1", Resource: resource, Subresource: sub,
			Namespace: namespace, Name: name, ResourceRequest: true,
		})
	}
	mode, constrained := strings.CutPrefix(e.Constraint, "impersonate:")
	if constrained {
		verb, group = e.Constraint, "authentication.k8s.io"
		on := e.Request
		on.User, on.Verb = *e.Impersonator, "impersonate-on:"+mode+":"+on.Verb
		out = append(out, on)
	}
	groups := who.Groups
	namespace, name, err := serviceaccount.SplitUsername(who.Name)
	switch {
	case err == nil:
		add(verb, group, "serviceaccounts", "", namespace, name)
		if own := authz.ServiceAccount(namespace, name).Groups; slices.Equal(groups, own) {
			groups = nil
		}
	case mode == "associated-node":
		add(verb, group, "nodes", "", "", "*") // a name of its own: the node is the impersonator's
	case mode == "arbitrary-node":
		add(verb, group, "nodes", "", "", strings.TrimPrefix(who.Name, "system:node:"))
	default:
		add(verb, group, "users", "", "", who.Name)
	}
	if strings.HasSuffix(mode, "-node") {
		groups = nil
	}
	for _, g := range groups {
		if g != "system:authenticated" && (g != "system:unauthenticated" || who.Name != "system:anonymous") {
			add(verb, group, "groups", "", "", g)
		}
	}
	if who.UID != "" {
		add(verb, "authentication.k8s.io", "uids", "", "", who.UID)
	}
	for key, values := range who.Extra {
		for _, v := range values {
			add(verb, "authentication.k8s.io", "userextras", key, "", v)
		}
	}
	return out
}
