package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const (
	bridgeName = "lab0"
	// machineInterface is what a machine calls its only interface.
	machineInterface = "eth0"
)

// Bridge is a cluster's network: a bridge in a namespace of its own.
type Bridge struct {
	*Namespace

	handle *netlink.Handle
	bridge netlink.Link
	subnet netip.Prefix // the bridge's own address and the subnet's length
}

// NewBridge makes the namespace, and the bridge in it with the given address.
func NewBridge(address netip.Prefix) (*Bridge, error) {
	ns, err := NewNamespace()
	if err != nil {
		return nil, err
	}
	b := &Bridge{Namespace: ns, subnet: address}
	if b.handle, err = open(ns.path); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	b.bridge = &netlink.Bridge{LinkAttrs: attrs}
	if err := b.handle.LinkAdd(b.bridge); err != nil {
		return nil, fmt.Errorf("making the bridge: %w", err)
	}
	if err := up(b.handle, "lo", netip.Prefix{}); err != nil {
		return nil, err
	}
	if err := up(b.handle, bridgeName, address); err != nil {
		return nil, err
	}
	return b, ns.Do(func() error { return writeSysctl("net/ipv4/ip_forward", "1") })
}

func open(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("opening a network namespace: %w", err)
	}
	handle, err := netlink.NewHandleAt(ns)
	if err := errors.Join(err, ns.Close()); err != nil {
		return nil, fmt.Errorf("opening a network namespace: %w", err)
	}
	return handle, nil
}

// Join gives the machine whose first process is pid an interface on the
// bridge, with the address given and the bridge as its way to all others. port
// names the bridge's end.
func (b *Bridge) Join(pid int, port string, address netip.Addr) error {
	// What is left of an earlier machine of this name goes by itself with that
	// machine's namespace, but not at once.
	if old, err := b.handle.LinkByName(port); err == nil {
		if err := b.handle.LinkDel(old); err != nil {
			return fmt.Errorf("removing the old interface %s: %w", port, err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	attrs.MasterIndex = b.bridge.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: machineInterface, PeerNamespace: netlink.NsPid(pid)}
	if err := b.handle.LinkAdd(veth); err != nil {
		return fmt.Errorf("making interface %s: %w", port, err)
	}
	if err := up(b.handle, port, netip.Prefix{}); err != nil {
		return err
	}
	inside, err := open(filepathOf(pid))
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := up(inside, "lo", netip.Prefix{}); err != nil {
		return err
	}
	if err := up(inside, machineInterface, netip.PrefixFrom(address, b.subnet.Bits())); err != nil {
		return err
	}
	if err := inside.RouteAdd(&netlink.Route{Gw: b.subnet.Addr().AsSlice()}); err != nil {
		return fmt.Errorf("routing from %s: %w", address, err)
	}
	return nil
}

// Route sends a pod range to a machine. Machines that have no route of their
// own to it, the control planes, reach pods this way.
func (b *Bridge) Route(pods netip.Prefix, via netip.Addr) error {
	err := b.handle.RouteReplace(&netlink.Route{
		LinkIndex: b.bridge.Attrs().Index,
		Dst:       &net.IPNet{IP: pods.Addr().AsSlice(), Mask: net.CIDRMask(pods.Bits(), pods.Addr().BitLen())},
		Gw:        via.AsSlice(),
	})
	if err != nil {
		return fmt.Errorf("routing %s to %s: %w", pods, via, err)
	}
	return nil
}

// up sets an interface up, with an address if there is one.
func up(h *netlink.Handle, name string, address netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if address.IsValid() {
		err := h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{
			IP:   address.Addr().AsSlice(),
			Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen()),
		}})
		if err != nil {
			return fmt.Errorf("interface %s: address %s: %w", name, address, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return errors.Join(fmt.Errorf("interface %s: setting it up", name), err)
	}
	return nil
}
