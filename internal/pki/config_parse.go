package pki

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"go.yaml.in/yaml/v3"
)

// Problem is one thing that is wrong with a cluster.yaml.
type Problem struct {
	Line int // 0: of the file as a whole
	Text string
}

// ConfigError is everything that is wrong with a cluster.yaml, in the order of
// its lines.
type ConfigError struct {
	File     string
	Problems []Problem
}

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		if p.Line == 0 {
			lines[i] = e.File + ": " + p.Text
		} else {
			lines[i] = fmt.Sprintf("%s:%d: %s", e.File, p.Line, p.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// Hint says where the keys are explained.
func (e *ConfigError) Hint() string {
	return "`bulwark pki init --example` prints a file with every key"
}

// ParseConfig reads cluster.yaml. The file's name is for messages. A config
// that is returned without an error is complete: defaults are filled in, and
// every name in it is safe to be part of a path. The error is a *ConfigError.
func ParseConfig(file string, data []byte) (Config, error) {
	p := &configParser{file: file}
	c := p.parse(data)
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
		return Config{}, &ConfigError{File: file, Problems: p.problems}
	}
	return c, nil
}

type configParser struct {
	file     string
	problems []Problem
	lines    map[string]int // of the keys at the top
}

func (p *configParser) bad(line int, format string, args ...any) {
	p.problems = append(p.problems, Problem{line, fmt.Sprintf(format, args...)})
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

func (p *configParser) parse(data []byte) Config {
	var c Config
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		text, line := err.Error(), 0
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = strings.TrimPrefix(text, m[0])
		}
		p.bad(line, "%s", strings.TrimPrefix(text, "yaml: "))
		return c
	}
	if len(root.Content) == 0 {
		p.bad(0, "the file is empty")
		return c
	}
	var onControlPlanes *bool
	p.lines = map[string]int{}
	p.mapping(root.Content[0], "cluster.yaml", map[string]func(*yaml.Node){
		"name":          func(n *yaml.Node) { c.Name = p.dnsName(n, "name") },
		"endpoint":      func(n *yaml.Node) { c.Endpoint = p.endpoint(n) },
		"bindPort":      func(n *yaml.Node) { c.BindPort = p.port(n, p.scalar(n, "bindPort")) },
		"extraSANs":     func(n *yaml.Node) { c.ExtraSANs = p.sans(n) },
		"serviceCIDRs":  func(n *yaml.Node) { c.ServiceCIDRs = p.cidrs(n) },
		"clusterDomain": func(n *yaml.Node) { c.ClusterDomain = p.dnsName(n, "clusterDomain") },
		"controlPlanes": func(n *yaml.Node) { c.ControlPlanes = p.hosts(n, "controlPlanes") },
		"etcd": func(n *yaml.Node) {
			if n.Kind != yaml.ScalarNode || n.Value != "stacked" {
				c.Etcd = p.hosts(n, "etcd")
			}
		},
		"workers": func(n *yaml.Node) { c.Workers = p.hosts(n, "workers") },
		"docker": func(n *yaml.Node) {
			p.list(n, "docker", func(n *yaml.Node) { c.Docker = append(c.Docker, p.dnsName(n, "docker")) })
		},
		"algorithm": func(n *yaml.Node) {
			var err error
			if c.Algorithm, err = ParseAlgorithm(p.scalar(n, "algorithm")); err != nil {
				p.bad(n.Line, "%s", strings.ToLower(err.Error()))
			}
		},
		"lifetimes": func(n *yaml.Node) {
			p.mapping(n, "lifetimes", map[string]func(*yaml.Node){
				"ca":   func(n *yaml.Node) { c.CALifetime = p.lifetime(n, "lifetimes.ca") },
				"leaf": func(n *yaml.Node) { c.LeafLifetime = p.lifetime(n, "lifetimes.leaf") },
			})
		},
		"caKeys": func(n *yaml.Node) { c.CAKeys, onControlPlanes = p.caKeys(n) },
	})
	p.across(&c, onControlPlanes)
	return c
}

// across checks what concerns more than one key, and fills in the defaults.
func (p *configParser) across(c *Config, onControlPlanes *bool) {
	if len(c.ControlPlanes) == 0 {
		p.bad(p.lines["controlPlanes"], "controlPlanes: want at least one machine")
	}
	if len(c.ControlPlanes) > 1 && c.Endpoint.Host == "" && p.lines["endpoint"] == 0 {
		p.bad(p.lines["controlPlanes"], "endpoint is missing: with %d control planes, want the name or address in front of them", len(c.ControlPlanes))
	}
	switch {
	case c.CAKeys.Store == StoreExternal && onControlPlanes != nil && *onControlPlanes:
		p.bad(p.lines["caKeys"], "caKeys.onControlPlanes: an external store gives no key away")
	case c.CAKeys.Store == "" && p.lines["caKeys"] != 0:
		c.CAKeys.Store = StoreFile
	}
	c.CAKeys.OnControlPlanes = c.CAKeys.Store == StoreFile
	if onControlPlanes != nil {
		c.CAKeys.OnControlPlanes = *onControlPlanes
	}
	c.setDefaults()
	if c.LeafLifetime > c.CALifetime {
		line := p.lines["lifetimes"]
		p.bad(line, "lifetimes.leaf: %s is more than the %s of lifetimes.ca: no certificate outlives its authority", formatLifetime(c.LeafLifetime), formatLifetime(c.CALifetime))
	}
	names := map[string]bool{}
	for _, h := range c.machines() {
		names[h.Name] = true
		for _, a := range h.Addresses {
			for _, s := range c.ServiceCIDRs {
				if s.Contains(a) {
					p.bad(p.lines["host "+h.Name], "machine %s: address %s is inside the service range %s", h.Name, a, s)
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, d := range c.Docker {
		if d != "" && !names[d] {
			p.bad(p.lines["docker"], "docker: there is no machine %s", d)
		}
		if seen[d] {
			p.bad(p.lines["docker"], "docker: %s is there twice", d)
		}
		seen[d] = true
	}
}

// mapping calls the function of each key, and refuses the others.
func (p *configParser) mapping(n *yaml.Node, what string, keys map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.bad(n.Line, "%s: want keys and values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, known := keys[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !known:
			var want []string
			for k := range keys {
				want = append(want, k)
			}
			slices.Sort(want)
			p.bad(key.Line, "%s: unknown key %s, want one of %s", what, quote(key.Value), strings.Join(want, ", "))
			continue
		case seen[key.Value]:
			p.bad(key.Line, "%s: key %s is there twice", what, key.Value)
			continue
		case value.Kind == yaml.AliasNode:
			// They could refer to themselves, and nobody needs them here.
			p.bad(value.Line, "%s: aliases are not read", key.Value)
			continue
		}
		seen[key.Value] = true
		if what == "cluster.yaml" {
			p.lines[key.Value] = key.Line
		}
		if value.Tag == "!!null" {
			continue // as if it were not there
		}
		read(value)
	}
}

func (p *configParser) list(n *yaml.Node, what string, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		p.bad(n.Line, "%s: want a list", what)
		return
	}
	for _, item := range n.Content {
		if item.Kind == yaml.AliasNode {
			p.bad(item.Line, "%s: aliases are not read", what)
			continue
		}
		each(item)
	}
}

func (p *configParser) scalar(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode {
		p.bad(n.Line, "%s: want a single value", what)
		return ""
	}
	return n.Value
}

func (p *configParser) boolean(n *yaml.Node, what string) bool {
	switch p.scalar(n, what) {
	case "true":
		return true
	case "false":
	default:
		p.bad(n.Line, "%s: want true or false", what)
	}
	return false
}

// dnsNamePattern is an RFC 1123 subdomain in lower case, which is what a Node may be called
// and what is safe in a path.
var dnsNamePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func isDNSName(s string) bool {
	if len(s) > 253 || !dnsNamePattern.MatchString(s) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > 63 {
			return false
		}
	}
	return true
}

func (p *configParser) dnsName(n *yaml.Node, what string) string {
	s := p.scalar(n, what)
	if !isDNSName(s) {
		p.bad(n.Line, "%s: %s is no name: want lower-case letters, digits, - and .", what, quote(s))
		return ""
	}
	return s
}

func (p *configParser) port(n *yaml.Node, s string) int {
	port, err := strconv.Atoi(s)
	if err != nil || port < 1 || port > 65535 || strconv.Itoa(port) != s {
		p.bad(n.Line, "port %s: want a number from 1 to 65535", quote(s))
		return 0
	}
	return port
}

func (p *configParser) endpoint(n *yaml.Node) Endpoint {
	s := p.scalar(n, "endpoint")
	e := Endpoint{Host: s, Port: DefaultPort}
	if strings.Contains(s, "/") {
		e.Host = "" // a URL: refused below
	} else if ap, err := netip.ParseAddrPort(s); err == nil {
		e.Host, e.Port = ap.Addr().String(), int(ap.Port())
		if e.Port == 0 {
			p.bad(n.Line, "endpoint: port 0 is no port")
		}
	} else if host, port, found := strings.Cut(s, ":"); found && !strings.Contains(port, ":") {
		e.Host, e.Port = host, p.port(n, port)
	}
	e.Host = strings.Trim(e.Host, "[]")
	if a, err := netip.ParseAddr(e.Host); err == nil {
		e.Host = a.String()
		p.usable(n, "endpoint", a)
	} else if !isDNSName(e.Host) || looksNumeric(e.Host) {
		p.bad(n.Line, "endpoint: %s is neither name nor address: want host or host:port, without https://", quote(s))
	}
	return e
}

// looksNumeric catches mistyped IPv4 addresses, which are DNS names by the letter.
func looksNumeric(s string) bool { return strings.Trim(s, "0123456789.") == "" }

func (p *configParser) address(n *yaml.Node, what string) (netip.Addr, bool) {
	s := p.scalar(n, what)
	a, err := netip.ParseAddr(s)
	if err != nil {
		p.bad(n.Line, "%s: %s is no address", what, quote(s))
		return a, false
	}
	return a, p.usable(n, what, a)
}

// usable refuses addresses by which no other machine finds this one.
func (p *configParser) usable(n *yaml.Node, what string, a netip.Addr) bool {
	why := ""
	switch {
	case a.Zone() != "":
		why = "has a zone, which means something only on one machine"
	case a.Is4In6():
		why = "is an IPv4 address in IPv6 clothes: write it as " + a.Unmap().String()
	case a.IsLoopback():
		why = "is the loopback address, which is another machine everywhere"
	case a.IsUnspecified():
		why = "is where one listens, not where one is found"
	case a.IsMulticast():
		why = "is a multicast address"
	default:
		return true
	}
	p.bad(n.Line, "%s: %s %s", what, a, why)
	return false
}

func (p *configParser) sans(n *yaml.Node) (sans []string) {
	p.list(n, "extraSANs", func(n *yaml.Node) {
		s := p.scalar(n, "extraSANs")
		a, err := netip.ParseAddr(s)
		switch {
		case err == nil && (a.Zone() != "" || a.Is4In6()):
			p.usable(n, "extraSANs", a)
		case err == nil:
			sans = append(sans, a.String())
		case !isDNSName(strings.TrimPrefix(s, "*.")) || looksNumeric(s):
			p.bad(n.Line, "extraSANs: %s is neither name nor address", quote(s))
		default:
			sans = append(sans, s)
		}
	})
	return sans
}

func (p *configParser) cidrs(n *yaml.Node) (cidrs []netip.Prefix) {
	p.list(n, "serviceCIDRs", func(n *yaml.Node) {
		s := p.scalar(n, "serviceCIDRs")
		c, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			p.bad(n.Line, "serviceCIDRs: %s is no range: want address/bits", quote(s))
		case c.Masked() != c:
			p.bad(n.Line, "serviceCIDRs: %s does not begin where its range does: want %s", c, c.Masked())
		case c.Addr().Is4In6() || c.Addr().IsMulticast() || c.Addr().IsLoopback() || c.Addr().IsUnspecified():
			p.bad(n.Line, "serviceCIDRs: %s is no range for services", c)
		case c.Addr().BitLen()-c.Bits() < 4:
			p.bad(n.Line, "serviceCIDRs: %s is too small: want room for 10 services", c)
		default:
			for _, other := range cidrs {
				if other.Overlaps(c) {
					p.bad(n.Line, "serviceCIDRs: %s overlaps %s", c, other)
				} else if other.Addr().Is4() == c.Addr().Is4() {
					p.bad(n.Line, "serviceCIDRs: %s and %s are of one family: want one of each", other, c)
				}
			}
			cidrs = append(cidrs, c)
		}
	})
	return cidrs
}

// reserved are folders of a bundle that are no machine.
var reserved = []string{caFolder, adminFolder, backupFolder, requestsFolder, pendingFolder, RotationFolder}

func (p *configParser) hosts(n *yaml.Node, what string) (hosts []Host) {
	p.list(n, what, func(n *yaml.Node) {
		var h Host
		p.mapping(n, what, map[string]func(*yaml.Node){
			"name": func(n *yaml.Node) {
				h.Name = p.dnsName(n, what+".name")
				switch before := p.lines["host "+h.Name]; {
				case h.Name == "":
				case slices.Contains(reserved, h.Name) || strings.HasSuffix(h.Name, ".yaml"):
					p.bad(n.Line, "%s.name: %s is the name of something else in the folder", what, h.Name)
				case before != 0:
					p.bad(n.Line, "%s.name: machine %s is already at line %d", what, h.Name, before)
				default:
					p.lines["host "+h.Name] = n.Line
				}
			},
			"addresses": func(n *yaml.Node) {
				p.list(n, what+".addresses", func(n *yaml.Node) {
					a, ok := p.address(n, what+".addresses")
					if !ok {
						return
					}
					if before := p.lines["address "+a.String()]; before != 0 {
						p.bad(n.Line, "%s.addresses: %s is already at line %d", what, a, before)
						return
					}
					p.lines["address "+a.String()] = n.Line
					h.Addresses = append(h.Addresses, a)
				})
			},
		})
		if n.Kind == yaml.MappingNode {
			if !hasKey(n, "name") {
				p.bad(n.Line, "%s: a machine without a name", what)
			}
			if !hasKey(n, "addresses") || len(h.Addresses) == 0 && !p.complainedSince(n.Line) {
				p.bad(n.Line, "%s: machine %s has no address", what, h.Name)
			}
		}
		hosts = append(hosts, h)
	})
	return hosts
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// complainedSince: something at or below this line was refused already.
func (p *configParser) complainedSince(line int) bool {
	return slices.ContainsFunc(p.problems, func(q Problem) bool { return q.Line >= line })
}

func (p *configParser) caKeys(n *yaml.Node) (k CAKeys, onControlPlanes *bool) {
	k.Store = StoreFile
	p.mapping(n, "caKeys", map[string]func(*yaml.Node){
		"store": func(n *yaml.Node) {
			k.Store = Store(p.scalar(n, "caKeys.store"))
			if k.Store != StoreFile && k.Store != StoreAge && k.Store != StoreExternal {
				p.bad(n.Line, "caKeys.store: %s: want file, age or external", quote(string(k.Store)))
			}
		},
		"recipients": func(n *yaml.Node) {
			p.list(n, "caKeys.recipients", func(n *yaml.Node) {
				s := p.scalar(n, "caKeys.recipients")
				if _, err := age.ParseX25519Recipient(s); err != nil {
					// The value stays out: it may be the identity, put here by mistake.
					p.bad(n.Line, "caKeys.recipients: want a public key that begins with age1")
					return
				}
				k.Recipients = append(k.Recipients, s)
			})
		},
		"passphrase": func(n *yaml.Node) {
			if n.Value != "true" && n.Value != "false" {
				p.bad(n.Line, "caKeys.passphrase: want true; the passphrase itself is asked for and never written down")
				return
			}
			k.Passphrase = n.Value == "true"
		},
		"onControlPlanes": func(n *yaml.Node) {
			v := p.boolean(n, "caKeys.onControlPlanes")
			onControlPlanes = &v
		},
	})
	line := n.Line
	switch {
	case k.Store == StoreAge && len(k.Recipients) == 0 && !k.Passphrase:
		p.bad(line, "caKeys: store age wants recipients or passphrase: true")
	case k.Store == StoreAge && len(k.Recipients) > 0 && k.Passphrase:
		p.bad(line, "caKeys: recipients and passphrase exclude each other")
	case k.Store != StoreAge && (len(k.Recipients) > 0 || k.Passphrase):
		p.bad(line, "caKeys: recipients and passphrase are for store: age")
	}
	return k, onControlPlanes
}

func (p *configParser) lifetime(n *yaml.Node, what string) time.Duration {
	d, err := ParseLifetime(p.scalar(n, what))
	if err != nil {
		p.bad(n.Line, "%s: %s", what, err)
		return 0
	}
	return d
}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// ParseLifetime reads 12h, 90d or 10y, from an hour to a hundred years.
func ParseLifetime(s string) (time.Duration, error) {
	unit := time.Duration(0)
	if len(s) > 1 {
		switch s[len(s)-1] {
		case 'h':
			unit = time.Hour
		case 'd':
			unit = day
		case 'y':
			unit = year
		}
	}
	if unit == 0 {
		return 0, fmt.Errorf("%s is no lifetime: want a number and h, d or y", quote(s))
	}
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is no lifetime: want a number and h, d or y", quote(s))
	case err != nil || n > math.MaxInt64/int64(unit) || time.Duration(n)*unit > maxLifetime:
		return 0, fmt.Errorf("%s is impossible: want at most 100y", quote(s))
	case time.Duration(n)*unit < minLifetime:
		return 0, fmt.Errorf("%s is impossible: want at least 1h", quote(s))
	}
	return time.Duration(n) * unit, nil
}

// formatLifetime is ParseLifetime's inverse, in the largest unit that fits.
func formatLifetime(d time.Duration) string {
	switch {
	case d%year == 0:
		return strconv.FormatInt(int64(d/year), 10) + "y"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
}

// quote keeps what a stranger wrote short and on one line.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
