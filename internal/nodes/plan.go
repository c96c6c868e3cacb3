package nodes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	purposeLabel = "bulwark.dev/purpose"
	purpose      = "node-facts"
	nodeLabel    = "bulwark.dev/index"
	managedBy    = "app.kubernetes.io/managed-by"
	program      = "bulwark"
)

// Options say how the nodes are asked.
type Options struct {
	// Image holds this program, as its entrypoint; nodes must be able to pull it.
	Image string
	// Args follow the entrypoint; $(NODE_NAME) in them is the node's name.
	Args []string
	// Timeout is how long one node may take, pulling the image included.
	Timeout time.Duration
	// Parallel is how many nodes are asked at a time. Zero means 25.
	Parallel int
	// Progress hears how many nodes of all have answered or will not.
	Progress func(done, all int)
}

// An Answer is what a node said, or why it said nothing.
type Answer struct {
	Node string
	Log  []byte
	Err  error
}

// A Plan is what asking will do. Making it changes nothing.
type Plan struct {
	// Ask are the nodes that will be asked, by name.
	Ask []string
	// Skip are those that cannot be, with the reason.
	Skip []Answer
	// Left are namespaces that earlier runs did not come to remove. They are removed
	// with the plan's own.
	Left []string

	client kubernetes.Interface
	opts   Options
}

// abandoned is the age from which a namespace of another run is left over: no run
// that is alive is as old.
func (o Options) abandoned() time.Duration { return o.Timeout + 15*time.Minute }

// New looks which nodes there are.
func New(ctx context.Context, client kubernetes.Interface, opts Options, now time.Time) (*Plan, error) {
	if opts.Parallel == 0 {
		opts.Parallel = 25
	}
	if opts.Progress == nil {
		opts.Progress = func(int, int) {}
	}
	p := &Plan{client: client, opts: opts}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	for _, n := range list.Items {
		if why := unable(&n); why != "" {
			p.Skip = append(p.Skip, Answer{Node: n.Name, Err: fmt.Errorf("%s", why)})
			continue
		}
		p.Ask = append(p.Ask, n.Name)
	}
	slices.Sort(p.Ask)
	slices.SortFunc(p.Skip, func(a, b Answer) int { return strings.Compare(a.Node, b.Node) })
	left, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: purposeLabel + "=" + purpose})
	if err != nil {
		return nil, fmt.Errorf("looking for what an earlier run left: %w", err)
	}
	for _, ns := range left.Items {
		if ns.DeletionTimestamp == nil && ns.Labels[managedBy] == program && now.Sub(ns.CreationTimestamp.Time) > opts.abandoned() {
			p.Left = append(p.Left, ns.Name)
		}
	}
	return p, nil
}

// unable says why a node cannot be asked. Taints do not keep anybody from asking.
func unable(n *corev1.Node) string {
	if os := n.Status.NodeInfo.OperatingSystem; os != "" && os != "linux" {
		return "its system is " + os + ", and only Linux can be read"
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return "it is not ready: " + c.Reason
		}
	}
	return ""
}
