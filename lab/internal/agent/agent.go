// Package agent keeps the network of one lab node as the cluster's objects ask:
// the CNI configuration, the routes to the other nodes' pods, the masquerading
// and the NetworkPolicies. It watches, computes what should be, and puts that
// whole state in place; what an earlier process left is replaced.
//
// Pods get IPv4 addresses only. A policy reaches the packets a moment after its
// object, and a pod's isolation a moment after its address is known.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/bulwark-k8s/bulwark/lab/internal/firewall"
	"github.com/bulwark-k8s/bulwark/lab/internal/policy"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"
)

const (
	// settle is how long changes are collected before they are put in place.
	settle = 30 * time.Millisecond
	// repair is how often everything is put in place though nothing changed, and
	// how soon after something failed.
	repair, retry = time.Minute, time.Second
)

// Options says what the agent is responsible for.
type Options struct {
	Node   string // name of the Node object
	CNIDir string // folder that the container runtime reads
	Policy bool   // enforce NetworkPolicies
}

func (o Options) validate() error {
	switch {
	case o.Node == "":
		return errors.New("node: no name given")
	case o.CNIDir == "":
		return errors.New("cni-dir: no folder given")
	}
	return nil
}

// Agent works on the network namespace that its process is in.
type Agent struct {
	options    Options
	log        *slog.Logger
	factory    informers.SharedInformerFactory
	nodes      corelisters.NodeLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networkinglisters.NetworkPolicyLister
	changed    chan struct{} // holds at most one: there is something to do

	policyTable, masqueradeTable knftables.Interface

	// What is in place, so that an unrelated change costs nothing.
	rules policy.Ruleset
	plan  Plan
}

// New prepares an agent that reads through client.
func New(client kubernetes.Interface, log *slog.Logger, options Options) (*Agent, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(dropManagedFields))
	a := &Agent{
		options:    options,
		log:        log,
		factory:    factory,
		nodes:      factory.Core().V1().Nodes().Lister(),
		pods:       factory.Core().V1().Pods().Lister(),
		namespaces: factory.Core().V1().Namespaces().Lister(),
		policies:   factory.Networking().V1().NetworkPolicies().Lister(),
		changed:    make(chan struct{}, 1),
	}
	var err error
	if a.policyTable, err = knftables.New(knftables.IPv4Family, firewall.PolicyTable); err != nil {
		return nil, err
	}
	if a.masqueradeTable, err = knftables.New(knftables.IPv4Family, firewall.MasqueradeTable); err != nil {
		return nil, err
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Nodes().Informer(),
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { a.notify() },
			UpdateFunc: func(_, _ any) { a.notify() },
			DeleteFunc: func(any) { a.notify() },
		}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Run works until the context ends. What it put in place stays, as it does
// with kube-proxy: pods keep their network while the agent is replaced.
func (a *Agent) Run(ctx context.Context) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return fmt.Errorf("switching forwarding on: %w", err)
	}
	a.factory.StartWithContext(ctx)
	defer a.factory.Shutdown()
	for kind, synced := range a.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("reading %s: %w", kind, context.Cause(ctx))
		}
	}
	a.log.Info("watching", "node", a.options.Node, "policy", a.options.Policy)

	timer := time.NewTimer(0)
	defer timer.Stop()
	forced := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
			time.Sleep(settle)
		case <-timer.C:
			forced = true
		}
		select {
		case <-a.changed:
		default:
		}
		err := a.sync(ctx, forced)
		if ctx.Err() != nil {
			return nil
		}
		forced = false
		timer.Reset(repair)
		if err != nil {
			a.log.Error("syncing", "err", err)
			timer.Reset(retry)
		}
	}
}

func (a *Agent) notify() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// sync puts in place what the objects ask for; forced, even if it should be
// there already. The CNI configuration comes last: it is what lets pods start,
// and from then on policies must hold.
func (a *Agent) sync(ctx context.Context, forced bool) error {
	if err := a.syncPolicy(ctx, forced); err != nil {
		return err
	}
	nodes, err := a.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	plan, ok := planFor(a.options.Node, nodes)
	if !ok {
		return nil // the controller manager has not given the node its podCIDR yet
	}
	if !forced && reflect.DeepEqual(plan, a.plan) {
		return nil
	}
	if err := firewall.SyncMasquerade(ctx, a.masqueradeTable, plan.PodCIDR, plan.PodCIDRs); err != nil {
		return err
	}
	if err := syncRoutes(plan.Routes); err != nil {
		return err
	}
	if err := writeConflist(a.options.CNIDir, plan); err != nil {
		return err
	}
	if !reflect.DeepEqual(plan, a.plan) {
		a.log.Info("network ready", "podCIDR", plan.PodCIDR, "routes", len(plan.Routes))
	}
	a.plan = plan
	return nil
}

func (a *Agent) syncPolicy(ctx context.Context, forced bool) error {
	if !a.options.Policy {
		if forced {
			return firewall.Remove(ctx, a.policyTable)
		}
		return nil
	}
	var objects policy.Objects
	var errs [3]error
	objects.Pods, errs[0] = a.pods.List(labels.Everything())
	objects.Namespaces, errs[1] = a.namespaces.List(labels.Everything())
	objects.Policies, errs[2] = a.policies.List(labels.Everything())
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	rules, err := policy.Compile(a.options.Node, objects)
	if err != nil {
		a.log.Warn("ignoring what is not understood", "err", err)
	}
	if !forced && reflect.DeepEqual(rules, a.rules) {
		return nil
	}
	start := time.Now()
	if err := firewall.SyncPolicy(ctx, a.policyTable, rules); err != nil {
		return err
	}
	if !reflect.DeepEqual(rules, a.rules) {
		a.log.Info("policies in place", "policies", len(objects.Policies), "chains", len(rules), "took", time.Since(start))
	}
	a.rules = rules
	return nil
}

// Plan is what a node's network should be.
type Plan struct {
	PodCIDR  netip.Prefix                // of this node
	PodCIDRs []netip.Prefix              // of all nodes, sorted
	Addr     netip.Addr                  // this node's InternalIP
	Routes   map[netip.Prefix]netip.Addr // other nodes' podCIDR to their InternalIP
}

// planFor reads the plan from the nodes. It answers false as long as the node
// itself has no podCIDR or no address; others in that state are left out.
func planFor(name string, nodes []*corev1.Node) (Plan, bool) {
	plan := Plan{Routes: make(map[netip.Prefix]netip.Addr)}
	for _, node := range nodes {
		cidr, addr := podCIDR(node), internalIP(node)
		if !cidr.IsValid() || !addr.IsValid() {
			continue
		}
		plan.PodCIDRs = append(plan.PodCIDRs, cidr)
		if node.Name == name {
			plan.PodCIDR, plan.Addr = cidr, addr
		} else {
			plan.Routes[cidr] = addr
		}
	}
	slices.SortFunc(plan.PodCIDRs, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return plan, plan.PodCIDR.IsValid()
}

func podCIDR(node *corev1.Node) netip.Prefix {
	for _, candidate := range append([]string{node.Spec.PodCIDR}, node.Spec.PodCIDRs...) {
		if cidr, err := netip.ParsePrefix(candidate); err == nil && cidr.Addr().Is4() {
			return cidr
		}
	}
	return netip.Prefix{}
}

func internalIP(node *corev1.Node) netip.Addr {
	for _, address := range node.Status.Addresses {
		if address.Type != corev1.NodeInternalIP {
			continue
		}
		if addr, err := netip.ParseAddr(address.Address); err == nil && addr.Is4() {
			return addr
		}
	}
	return netip.Addr{}
}

func dropManagedFields(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil {
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}
