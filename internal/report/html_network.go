package report

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

// A networkView is one cluster's picture, with what a picture cannot say.
type networkView struct {
	Cluster, Says string
	Picture       template.HTML
	Alike, Parts  []string
	More          int
}

// styles are the hashes of the styles that the page has.
func styles(o Options) string {
	out := "'sha256-" + digest(pageStyle) + "'"
	if len(o.Networks) > 0 {
		out += " 'sha256-" + digest(show.Style) + "'"
	}
	return out
}

// networks draws what policies let through. A thousand namespaces are drawn as those that
// differ, so the page stays small.
func (p *page) networks(all []Network) {
	if len(all) > 0 {
		p.NetStyle = template.HTML("<style>" + show.Style + "</style>") //nolint:gosec // our own text
	}
	for _, n := range all {
		v := networkView{Cluster: printable(n.Cluster), Picture: template.HTML(show.Inline(n.Grid))} //nolint:gosec // it escapes what it is given
		g, bands := n.Grid, n.Grid.Alike()
		counts := g.Count()
		v.Says = fmt.Sprintf("Of %s between different namespaces, and to and from the internet, %d are open, %d in part, %d closed, %d unknown.",
			count(counts[segment.Open]+counts[segment.Part]+counts[segment.Closed]+counts[segment.Untold], "way"),
			counts[segment.Open], counts[segment.Part], counts[segment.Closed], counts[segment.Untold])
		for _, from := range bands {
			if len(from) > 1 && len(v.Alike) < maxSubjects {
				var names []string
				for _, i := range from {
					names = append(names, printable(g.Units[i].String()))
				}
				if len(names) > maxSubjects {
					names = append(names[:maxSubjects], fmt.Sprintf("and %d more", len(from)-maxSubjects))
				}
				v.Alike = append(v.Alike, strings.Join(names, ", "))
			}
			for _, to := range bands {
				if c := g.Within(from, to); c.State == segment.Part {
					if len(v.Parts) == maxSubjects {
						v.More++
						continue
					}
					v.Parts = append(v.Parts, printable(fmt.Sprintf("%s to %s: %s", g.Label(from), g.Label(to), strings.TrimPrefix(c.Text(), "part: "))))
				}
			}
		}
		p.Networks = append(p.Networks, v)
	}
}
