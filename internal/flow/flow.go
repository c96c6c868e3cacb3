// Package flow reads connections that somebody observed: one JSON object a line, or the
// kernel's table of connections as text. It knows addresses and names as they stand
// there, and nothing of a cluster.
package flow

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A Flow is one connection as its client opened it.
type Flow struct {
	// From and To are "namespace/pod" or an IP address.
	From string `json:"from"`
	To   string `json:"to"`
	// FromPort is the client's port; 0 where nobody said.
	FromPort uint16          `json:"fromPort,omitempty"`
	Protocol corev1.Protocol `json:"protocol"`
	Port     uint16          `json:"port"`
}

// A Format is a way in which flows are written.
type Format string

// The formats. Any tells them apart by what the input begins with.
const (
	Any       Format = "any"
	JSONL     Format = "jsonl"
	Conntrack Format = "conntrack"
)

// Formats are the names that ParseFormat knows.
var Formats = []string{string(Any), string(JSONL), string(Conntrack)}

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	if !slices.Contains(Formats, name) {
		return "", fmt.Errorf("format %q: want %s", name, strings.Join(Formats, ", "))
	}
	return Format(name), nil
}

// A Problem is a line that could not be read. The rest was.
type Problem struct {
	Line int
	Err  error
}

func (p Problem) Error() string { return fmt.Sprintf("line %d: %v", p.Line, p.Err) }

func (p Problem) Unwrap() error { return p.Err }

// Read's limits. A line is longer only where it is no flow; the distinct connections of a
// day in a large cluster are a few hundred thousand.
const (
	maxLine     = 64 << 10
	maxDistinct = 4 << 20
	maxProblems = 100
)

// A Log is what was read.
type Log struct {
	// Flows are the distinct ones, in the order of their first line.
	Flows []Flow
	// Lines that held something.
	Lines int
	// Left counts lines that are well formed and no flow, by reason.
	Left map[string]int
	// Problems are the lines that could not be read, the first hundred of them.
	Problems []Problem
	// Bad is how many they are in all.
	Bad int

	seen map[Flow]bool
}

// errTooMany ends reading: what is beyond would not be seen.
var errTooMany = errors.New("more than 4 million different connections: observe for a shorter time, or fewer machines")

// Read reads one input. It returns an error only where the input cannot be read to its
// end; a bad line is in the Log.
func Read(in io.Reader, format Format) (*Log, error) {
	log := &Log{Left: map[string]int{}, seen: map[Flow]bool{}}
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 0, 16<<10), maxLine)
	number := 0
	for s.Scan() {
		number++
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 {
			continue
		}
		log.Lines++
		if format == Any {
			format = Conntrack
			if line[0] == '{' {
				format = JSONL
			}
		}
		parse := parseJSON
		if format == Conntrack {
			parse = parseConntrack
		}
		f, left, err := parse(line)
		switch {
		case err != nil:
			log.problem(number, err)
		case left != "":
			log.Left[left]++
		default:
			if err := log.add(f); err != nil {
				return log, err
			}
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return log, fmt.Errorf("line %d: it has more than %d bytes", number+1, maxLine)
	}
	return log, s.Err()
}

func (l *Log) problem(line int, err error) {
	l.Bad++
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, Problem{line, err})
	}
}

func (l *Log) add(f Flow) error {
	if l.seen[f] {
		return nil
	}
	if len(l.Flows) == maxDistinct {
		return errTooMany
	}
	l.seen[f] = true
	l.Flows = append(l.Flows, f)
	return nil
}

// parseJSON reads one line of JSON. Fields that it does not know are somebody else's.
func parseJSON(line []byte) (Flow, string, error) {
	var v struct {
		From     string `json:"from"`
		To       string `json:"to"`
		FromPort int    `json:"fromPort"`
		Protocol string `json:"protocol"`
		Port     int    `json:"port"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return Flow{}, "", fmt.Errorf("%s is a %s", kind.Field, kind.Value)
		}
		return Flow{}, "", errors.New("it is no JSON object")
	}
	f := Flow{Protocol: corev1.Protocol(strings.ToUpper(v.Protocol))}
	if f.Protocol == "" {
		f.Protocol = corev1.ProtocolTCP
	}
	if f.Protocol != corev1.ProtocolTCP && f.Protocol != corev1.ProtocolUDP && f.Protocol != corev1.ProtocolSCTP {
		return Flow{}, "", fmt.Errorf("protocol %q: want TCP, UDP or SCTP", v.Protocol)
	}
	if v.Port < 1 || v.Port > 65535 {
		return Flow{}, "", fmt.Errorf("port %d: want 1 to 65535", v.Port)
	}
	if v.FromPort < 0 || v.FromPort > 65535 {
		return Flow{}, "", fmt.Errorf("fromPort %d: want 1 to 65535", v.FromPort)
	}
	f.Port, f.FromPort = uint16(v.Port), uint16(v.FromPort)
	var err error
	if f.From, err = end(v.From); err != nil {
		return Flow{}, "", fmt.Errorf("from: %w", err)
	}
	if f.To, err = end(v.To); err != nil {
		return Flow{}, "", fmt.Errorf("to: %w", err)
	}
	return f, "", nil
}

// end checks one end of a flow, and writes an address in the one way that it has.
func end(s string) (string, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone("").String(), nil
	}
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || !dns(namespace) || !dns(name) {
		return "", fmt.Errorf("%q: want namespace/pod or an IP address", s)
	}
	return s, nil
}

// dns reports whether s could be the name of a pod or a namespace
// (k8s.io/apimachinery/pkg/util/validation, IsDNS1123Subdomain, without its fine print).
func dns(s string) bool {
	return s != "" && len(s) <= 253 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}) < 0
}
