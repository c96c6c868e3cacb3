package host

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// A socket is a TCP socket that listens.
type socket struct {
	addr  netip.AddrPort
	inode uint64
}

// parseSockets reads /proc/net/tcp or tcp6 and returns what listens. Lines that do not
// have the form are skipped: the kernel may add columns, but not change these.
func parseSockets(table []byte) []socket {
	const (
		local, state, inode = 1, 3, 9
		listening           = "0A"
	)
	var out []socket
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) <= inode || f[state] != listening {
			continue
		}
		addr, ok := parseAddr(f[local])
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(f[inode], 10, 64)
		if err != nil {
			continue
		}
		out = append(out, socket{addr, n})
	}
	return out
}

// parseAddr reads an address and a port in hexadecimal, the address as the kernel
// prints it: words of 32 bits in the machine's own byte order, of an address that
// lies in memory in network order.
func parseAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	if !ok || len(port) != 4 {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	b, err := hex.DecodeString(host)
	if err != nil || (len(b) != 4 && len(b) != 16) {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}

// kernelSockets returns the inodes of the kernel's own sockets in /proc/net/netlink.
// They are numbered once for the whole kernel and made with the network namespace, so
// two processes that see the same one share it. Any user may read the table.
func kernelSockets(table []byte) map[uint64]bool {
	const (
		pid, inode = 2, 9
	)
	out := map[uint64]bool{}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) <= inode || f[pid] != "0" {
			continue
		}
		if n, err := strconv.ParseUint(f[inode], 10, 64); err == nil && n != 0 {
			out[n] = true
		}
	}
	return out
}
