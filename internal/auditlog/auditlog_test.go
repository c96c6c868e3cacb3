package auditlog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const watch = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods?watch=true","verb":"watch","user":{"username":"ann","groups":["system:authenticated"]},"objectRef":{"resource":"pods","namespace":"shop","apiVersion":"v1"},"responseStatus":{"code":200},"stageTimestamp":"2026-01-02T03:04:05.000006Z","annotations":{"authorization.k8s.io/decision":"allow"}}`

func read(t *testing.T, r io.Reader) ([]*Event, Unread) {
	t.Helper()
	var events []*Event
	unread, err := Read(r, func(e *Event) error { events = append(events, e); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return events, unread
}

func TestRead(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintln(z, watch)
	z.Close()
	for name, tt := range map[string]struct {
		text           string
		events, unread int
		why            string
	}{
		"nothing":           {"", 0, 0, ""},
		"a line":            {watch, 1, 0, ""},
		"empty lines":       {"\n\n" + watch + "\r\n\n", 1, 0, ""},
		"gzip":              {packed.String(), 1, 0, ""},
		"a list":            {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + watch + "," + watch + "]}", 2, 0, ""},
		"cut off":           {watch + "\n" + watch[:100], 1, 1, "line 2: no JSON of an audit event: unexpected end of JSON input"},
		"another kind":      {`{"kind":"Pod","apiVersion":"v1"}`, 0, 1, `line 1: kind "Pod" of "v1", want Event of audit.k8s.io/v1`},
		"an older version":  {strings.Replace(watch, "audit.k8s.io/v1", "audit.k8s.io/v1beta1", 1), 0, 1, `line 1: kind "Event" of "audit.k8s.io/v1beta1", want Event of audit.k8s.io/v1`},
		"without a request": {`{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"Panic","verb":"get"}`, 0, 1, "line 1: an event without verb, stage or request URI"},
		"too long":          {watch + "\n" + strings.Repeat(" ", MaxEvent+1) + "\n" + watch, 2, 1, "line 2: an event of more than 64 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			events, unread := read(t, strings.NewReader(tt.text))
			why := ""
			if unread.First != nil {
				why = unread.First.Error()
			}
			if len(events) != tt.events || unread.Lines != tt.unread || why != tt.why {
				t.Errorf("%d events, %d unread: %s; want %d, %d: %s", len(events), unread.Lines, why, tt.events, tt.unread, tt.why)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	decided := func(decision, code string) string {
		s := strings.Replace(watch, `"authorization.k8s.io/decision":"allow"`, decision, 1)
		return strings.Replace(s, `"code":200`, `"code":`+code, 1)
	}
	const allow, forbid = `"authorization.k8s.io/decision":"allow"`, `"authorization.k8s.io/decision":"forbid"`
	for _, tt := range []struct {
		decision, code string
		want           Outcome
	}{
		{allow, "200", Allowed},
		{allow, "403", Allowed},
		{allow, "500", Allowed},
		{forbid, "403", Denied},
		{"", "403", Denied},
		{"", "404", Allowed},
		{"", "429", Dropped},
		{"", "401", Dropped},
		{"", "0", Received},
	} {
		events, _ := read(t, strings.NewReader(decided(tt.decision, tt.code)))
		if events[0].Outcome != tt.want {
			t.Errorf("decision %s with code %s is %d, want %d", tt.decision, tt.code, events[0].Outcome, tt.want)
		}
		if want := tt.decision == allow && tt.code == "403"; events[0].Refused != want {
			t.Errorf("decision %s with code %s: refused is %v", tt.decision, tt.code, events[0].Refused)
		}
	}
}

// FuzzRead: whatever else stands between them, events are read as if they stood alone, and
// every other line is counted.
func FuzzRead(f *testing.F) {
	f.Add([]byte("{}"))
	f.Add([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{}]}`))
	f.Add([]byte(strings.Replace(watch, "/api/v1/namespaces/shop/pods?watch=true", "%zz", 1)))
	f.Add([]byte(strings.Replace(watch, `"watch"`, `"create"`, 1)))
	f.Add([]byte(strings.Replace(watch, `"user"`, `"impersonatedUser":{"username":"system:serviceaccount:a:b","groups":["x"]},"user"`, 1)))
	f.Fuzz(func(t *testing.T, between []byte) {
		if bytes.HasPrefix(between, []byte{0x1f, 0x8b}) {
			t.Skip("gzip")
		}
		between = bytes.ReplaceAll(between, []byte("\n"), nil)
		alone, _ := read(t, bytes.NewReader(between))
		first, _ := read(t, strings.NewReader(watch))
		all, unread := read(t, io.MultiReader(strings.NewReader(watch+"\n"), bytes.NewReader(between), strings.NewReader("\n"+watch)))
		want := append(append(append([]*Event{}, first...), alone...), first...)
		if diff := cmp.Diff(want, all); diff != "" {
			t.Error(diff)
		}
		if len(alone) == 0 && len(bytes.TrimSpace(between)) > 0 && unread.Lines == 0 && !bytes.Contains(between, []byte("items")) {
			list := bytes.Contains(bytes.ToLower(between), []byte("eventlist"))
			if !list {
				t.Errorf("%q is neither an event nor counted", between)
			}
		}
		for _, e := range all {
			for _, a := range e.Impersonations() {
				if a.Verb == "" || !a.ResourceRequest && a.Path == "" {
					t.Errorf("an impersonation needs %+v, which is nothing", a)
				}
			}
		}
	})
}
