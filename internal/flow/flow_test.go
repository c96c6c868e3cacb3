package flow

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, text string, format Format) *Log {
	t.Helper()
	log, err := Read(strings.NewReader(text), format)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestFlowsAreReadAsTheyWereOpened(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []Flow
		left     map[string]int
	}{
		{
			"lines of JSON, twice the same, with fields of somebody else's",
			`{"from":"shop/web-1","to":"10.1.2.3","protocol":"tcp","port":80,"bytes":7}` + "\n\n" +
				`{"from":"shop/web-1","to":"10.1.2.3","protocol":"TCP","port":80}` + "\n" +
				`{"from":"::ffff:10.0.0.1","to":"shop/web-1","port":53,"protocol":"UDP","fromPort":4000}`,
			[]Flow{{From: "shop/web-1", To: "10.1.2.3", Protocol: "TCP", Port: 80}, {From: "10.0.0.1", To: "shop/web-1", FromPort: 4000, Protocol: "UDP", Port: 53}},
			nil,
		},
		{
			"a Service's address is translated, and the client's is what it was before masquerading",
			"tcp      6 86396 ESTABLISHED src=10.1.1.5 dst=10.96.0.9 sport=4242 dport=80 src=10.1.2.7 dst=192.168.0.1 sport=8080 dport=61000 [ASSURED] mark=0 use=1",
			[]Flow{{From: "10.1.1.5", To: "10.1.2.7", FromPort: 4242, Protocol: "TCP", Port: 8080}},
			nil,
		},
		{
			"the kernel's own file, counters, and IPv6",
			"ipv4     2 udp      17 29 src=10.1.1.5 dst=10.96.0.10 sport=4242 dport=53 packets=1 bytes=60 src=10.1.0.3 dst=10.1.1.5 sport=53 dport=4242 packets=1 bytes=90 mark=0 zone=0 use=2\n" +
				"ipv6     10 tcp      6 431999 ESTABLISHED src=fd00::5 dst=fd00::9 sport=4242 dport=80 src=fd00::9 dst=fd00::5 sport=80 dport=4242 [ASSURED] mark=0 use=1",
			[]Flow{{From: "10.1.1.5", To: "10.1.0.3", FromPort: 4242, Protocol: "UDP", Port: 53}, {From: "fd00::5", To: "fd00::9", FromPort: 4242, Protocol: "TCP", Port: 80}},
			nil,
		},
		{
			"what is no flow is counted",
			"conntrack v1.4.6 (conntrack-tools): 5 flow entries have been shown.\n" +
				"icmp     1 29 src=10.1.1.5 dst=10.1.1.6 type=8 code=0 id=7 src=10.1.1.6 dst=10.1.1.5 type=0 code=0 id=7 mark=0 use=1\n" +
				"tcp      6 119 SYN_SENT src=10.1.1.5 dst=10.1.2.7 sport=4242 dport=80 [UNREPLIED] src=10.1.2.7 dst=10.1.1.5 sport=80 dport=4242 mark=0 use=1\n" +
				"tcp      6 9 TIME_WAIT src=127.0.0.1 dst=127.0.0.1 sport=4242 dport=80 src=127.0.0.1 dst=127.0.0.1 sport=80 dport=4242 [ASSURED] mark=0 use=1\n" +
				" [NEW] udp      17 30 src=10.1.1.5 dst=10.1.2.7 sport=4242 dport=514 [UNREPLIED] src=10.1.2.7 dst=10.1.1.5 sport=514 dport=4242",
			[]Flow{{From: "10.1.1.5", To: "10.1.2.7", FromPort: 4242, Protocol: "UDP", Port: 514}},
			map[string]int{leftProtocol: 1, leftAttempt: 1, leftLocal: 1, leftNotice: 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := read(t, c.in, Any)
			if len(log.Problems) > 0 {
				t.Error(log.Problems)
			}
			if c.left == nil {
				c.left = map[string]int{}
			}
			if diff := cmp.Diff(c.want, log.Flows); diff != "" {
				t.Errorf("flows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.left, log.Left); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABadLineDoesNotSpoilTheRest(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`{"from":"web","to":"10.1.2.3","port":80}`, `line 1: from: "web": want namespace/pod or an IP address`},
		{`{"from":"a/b","to":"A/b","port":80}`, `line 1: to: "A/b": want namespace/pod or an IP address`},
		{`{"from":"a/b","to":"a/b","port":0}`, `line 1: port 0: want 1 to 65535`},
		{`{"from":"a/b","to":"a/b","port":"80"}`, `line 1: port is a string`},
		{`{"from":"a/b","to":"a/b","port":80,"fromPort":70000}`, `line 1: fromPort 70000: want 1 to 65535`},
		{`{"from":"a/b","to":"a/b","port":80,"protocol":"ICMP"}`, `line 1: protocol "ICMP": want TCP, UDP or SCTP`},
		{`{"from"`, `line 1: it is no JSON object`},
		{`hello`, `line 1: it is no connection of conntrack's: want src= and dst= twice`},
		{`tcp 6 1 X src=a dst=b sport=1 dport=2 src=1.2.3.4 dst=1.2.3.5 sport=2 dport=1`, `line 1: src=a is no address`},
		{`tcp 6 1 X src=1.2.3.4 dst=1.2.3.5 sport=0 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=1`, `line 1: sport=0 is no port`},
		{`6 1 X src=1.2.3.4 dst=1.2.3.5 sport=9 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=9`, `line 1: it names no protocol`},
	} {
		good := `{"from":"a/b","to":"a/c","port":80}`
		if c.line[0] != '{' {
			good = "tcp 6 1 X src=1.2.3.4 dst=1.2.3.5 sport=9 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=9"
		}
		log := read(t, c.line+"\n"+good, Any)
		if len(log.Problems) != 1 || log.Problems[0].Error() != c.want {
			t.Errorf("%s: problems are %v, want %s", c.line, log.Problems, c.want)
		}
		if len(log.Flows) != 1 {
			t.Errorf("%s: %d flows were read, want the good one", c.line, len(log.Flows))
		}
	}
}

func TestManyBadLinesAreCounted(t *testing.T) {
	log := read(t, strings.Repeat("hello\n", 1000), Any)
	if len(log.Problems) != maxProblems || log.Bad != 1000 {
		t.Errorf("%d problems are kept of %d", len(log.Problems), log.Bad)
	}
}

func TestALineWithoutEndIsRefused(t *testing.T) {
	_, err := Read(strings.NewReader("\n"+strings.Repeat("x", maxLine+1)), JSONL)
	if err == nil || !strings.Contains(err.Error(), "line 2: it has more than") {
		t.Errorf("the error is %v", err)
	}
}

func TestAFormatIsOneOfThem(t *testing.T) {
	if _, err := ParseFormat("pcap"); err == nil {
		t.Error("pcap is a format")
	}
	if f, err := ParseFormat("conntrack"); f != Conntrack || err != nil {
		t.Errorf("conntrack is %q, %v", f, err)
	}
}

// FuzzRead: whatever the bytes are, each flow that comes out has two valid ends, ports and
// a protocol, none comes twice, every line is accounted for, and written as JSON the flows
// are read as the same ones.
func FuzzRead(f *testing.F) {
	f.Add([]byte("ipv4     2 tcp      6 86396 ESTABLISHED src=10.1.1.5 dst=10.96.0.9 sport=4242 dport=80 src=10.1.2.7 dst=192.168.0.1 sport=8080 dport=61000 [ASSURED] mark=0 use=1"))
	f.Add([]byte(`{"from":"shop/web-1","to":"fe80::1%eth0","protocol":"tcp","port":80,"fromPort":40000}` + "\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := Read(strings.NewReader(string(data)), Any)
		if err != nil {
			return
		}
		var lines strings.Builder
		seen := map[Flow]bool{}
		for _, one := range log.Flows {
			for _, s := range []string{one.From, one.To} {
				if _, err := netip.ParseAddr(s); err != nil && strings.Count(s, "/") != 1 {
					t.Errorf("%+v: %q is neither an address nor a name", one, s)
				}
			}
			if one.Port == 0 || one.Protocol == "" || seen[one] {
				t.Errorf("%+v: incomplete, or twice", one)
			}
			seen[one] = true
			raw, err := json.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			lines.Write(append(raw, '\n'))
		}
		left := 0
		for _, n := range log.Left {
			left += n
		}
		if left+log.Bad+len(log.Flows) > log.Lines {
			t.Errorf("%d lines gave %d flows, %d left and %d bad", log.Lines, len(log.Flows), left, log.Bad)
		}
		again, err := Read(strings.NewReader(lines.String()), JSONL)
		if err = errors.Join(err, problems(again)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(log.Flows, again.Flows); diff != "" {
			t.Errorf("read again (-want +got):\n%s", diff)
		}
	})
}

func problems(l *Log) error {
	var all []error
	for _, p := range l.Problems {
		all = append(all, p)
	}
	return errors.Join(all...)
}
