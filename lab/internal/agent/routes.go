package agent

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// routeProtocol marks the routes that the agent owns, so that it can find those
// of nodes that are gone. The number is one that no routing daemon has taken.
const routeProtocol netlink.RouteProtocol = 86

// syncRoutes makes the agent's routes exactly the wanted ones.
func syncRoutes(want map[netip.Prefix]netip.Addr) error {
	for cidr, via := range want {
		route := &netlink.Route{Dst: ipNet(cidr), Gw: via.AsSlice(), Protocol: routeProtocol}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s via %s: %w", cidr, via, err)
		}
	}
	have, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	for _, route := range have {
		if _, wanted := want[prefix(route.Dst)]; wanted {
			continue
		}
		if err := netlink.RouteDel(&route); err != nil {
			return fmt.Errorf("removing route %s: %w", route.Dst, err)
		}
	}
	return nil
}

// mtuOf is the MTU of the interface that has the address, which is what pods
// can use too since packets are routed and not wrapped.
func mtuOf(addr netip.Addr) (int, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return 0, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return 0, fmt.Errorf("interface %s: %w", link.Attrs().Name, err)
		}
		for _, a := range addrs {
			if a.IP.Equal(addr.AsSlice()) {
				return link.Attrs().MTU, nil
			}
		}
	}
	return 0, fmt.Errorf("address %s: no interface has it", addr)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, bits)
}
