package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An extra is a kind that a cluster may not have, or has in a version that is not known
// beforehand. It is listed in the version that the server prefers, in JSON.
type extra struct {
	need    cluster.Need
	kind    string
	version string // the only one to list; empty means the preferred one
	parse   func(raw []byte) (metav1.Object, error)
}

func typed[T any, P interface {
	*T
	metav1.Object
}](raw []byte) (metav1.Object, error) {
	o := P(new(T))
	return o, json.Unmarshal(raw, o)
}

// extras are Kubernetes' own kinds that became stable late or are seldom asked for, with the
// same fields as in their last beta, and the kinds beside Kubernetes' own that controls know.
var extras = append([]extra{
	{need: cluster.MutatingPolicies, kind: "MutatingAdmissionPolicy", parse: typed[admissionv1.MutatingAdmissionPolicy]},
	{need: cluster.MutatingPolicyBindings, kind: "MutatingAdmissionPolicyBinding", parse: typed[admissionv1.MutatingAdmissionPolicyBinding]},
	{need: cluster.DeviceClaims, kind: "ResourceClaim", parse: typed[resourcev1.ResourceClaim]},
	{need: cluster.DeviceClaimTemplates, kind: "ResourceClaimTemplate", parse: typed[resourcev1.ResourceClaimTemplate]},
	{need: cluster.DeviceSlices, kind: "ResourceSlice", parse: typed[resourcev1.ResourceSlice]},
	{need: cluster.VolumeAttachments, kind: "VolumeAttachment", parse: typed[storagev1.VolumeAttachment]},
	{need: cluster.PodCertificates, kind: "PodCertificateRequest", parse: typed[certificatesv1beta1.PodCertificateRequest]},
}, ofKinds(cluster.CustomKinds)...)

func ofKinds(kinds []cluster.CustomKind) []extra {
	var out []extra
	for _, k := range kinds {
		parse := func(raw []byte) (metav1.Object, error) { return k.ParseCustom(raw) }
		out = append(out, extra{k.Need, k.Name(), k.Version, parse})
	}
	return out
}

// allExtras are those and the kinds that the user named.
func (r *reader) allExtras() []extra { return slices.Concat(extras, ofKinds(r.own)) }

// extras reads what the cluster has of them. A group that the server does not know holds
// nothing; that is asked first, because a server refuses what it does not know with the
// same words as what one may not see.
func (r *reader) extras(ctx context.Context) error {
	if r.wants(cluster.OwnWorkloads) {
		r.looked(cluster.OwnWorkloads) // but for those that leave a gap
	}
	groups, err := r.groups(ctx)
	if err != nil {
		err = fmt.Errorf("asking which kinds there are: %w", err)
	}
	for _, e := range r.allExtras() {
		if !r.wants(e.need) {
			continue
		}
		fault := err
		if fault == nil {
			fault = r.extra(ctx, e, groups)
		}
		switch {
		case fault != nil:
			if fatal := r.fault(fault, e.need, ""); fatal != nil {
				return fatal
			}
		case !r.isOwn(e.need):
			r.looked(e.need)
		}
	}
	return nil
}

// extra lists one of them in the first version that has it.
func (r *reader) extra(ctx context.Context, e extra, groups map[string][]string) error {
	group, name := e.need.GroupResource()
	other := ""
	for _, gv := range groups[group] {
		resources, err := r.resources(ctx, gv)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(resources, func(res metav1.APIResource) bool { return res.Name == name })
		switch _, version, _ := strings.Cut(gv, "/"); {
		case i >= 0 && (e.version == "" || e.version == version):
			return r.listExtra(ctx, e, gv, name, resources[i].Namespaced)
		case i >= 0:
			other = fmt.Sprintf("the server has it in %s and not in %s", version, e.version)
		case other == "" && r.isOwn(e.need):
			// Whoever wrote the plural wrong must not be told that there are none.
			i = slices.IndexFunc(resources, func(res metav1.APIResource) bool {
				return res.Name != name && res.Kind+"."+group == e.kind && !strings.Contains(res.Name, "/")
			})
			if i >= 0 {
				other = fmt.Sprintf("the server calls the resource of %s %s", e.kind, resources[i].Name)
			}
		}
	}
	if other != "" {
		return errors.New(other)
	}
	return nil
}

// groups returns each group's versions, the preferred one first.
func (r *reader) groups(ctx context.Context) (map[string][]string, error) {
	raw, err := r.core().Get().AbsPath("/apis").SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var list metav1.APIGroupList
	if err := json.Unmarshal(raw, &list); err != nil || list.Kind != "APIGroupList" {
		return nil, fmt.Errorf("/apis is not the list of groups that it should be")
	}
	out := map[string][]string{}
	for _, g := range list.Groups {
		versions := []string{g.PreferredVersion.GroupVersion}
		for _, v := range g.Versions {
			if !slices.Contains(versions, v.GroupVersion) {
				versions = append(versions, v.GroupVersion)
			}
		}
		out[g.Name] = versions
	}
	return out, nil
}

// resources are those of a version of a group.
func (r *reader) resources(ctx context.Context, groupVersion string) ([]metav1.APIResource, error) {
	if known, ok := r.discovered[groupVersion]; ok {
		return known, nil
	}
	raw, err := r.core().Get().AbsPath("/apis/"+groupVersion).SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("/apis/%s is not the list of resources that it should be", groupVersion)
	}
	r.discovered[groupVersion] = list.APIResources
	return list.APIResources, nil
}

// definitionsPage is the number of CustomResourceDefinitions of one page: their schemas
// make them up to a megabyte each.
const definitionsPage = 50

// listExtra reads all pages of one kind.
func (r *reader) listExtra(ctx context.Context, e extra, groupVersion, resource string, namespaced bool) error {
	path := "/apis/" + groupVersion
	if namespaced && r.opts.Namespace != "" {
		path += "/namespaces/" + r.opts.Namespace
	}
	path += "/" + resource
	size := r.opts.PageSize
	if e.need == cluster.Definitions {
		size = min(size, definitionsPage)
	}
	next := ""
	for {
		raw, err := r.core().Get().AbsPath(path).Param("limit", fmt.Sprint(size)).Param("continue", next).
			SetHeader("Accept", "application/json").DoRaw(ctx)
		if err != nil {
			if expired(err) && next != "" {
				next = ""
				continue
			}
			return err
		}
		var list struct {
			metav1.ListMeta `json:"metadata"`
			Items           []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("%s is not the list that it should be", path)
		}
		r.mu.Lock()
		for _, item := range list.Items {
			o, err := e.parse(item)
			if err != nil {
				r.gap(e.need, "", "one of them is not what it should be")
				continue
			}
			r.b.Add(groupVersion, e.kind, o, cluster.Source{Origin: path})
			r.count++
		}
		r.opts.Progress(strings.ToLower(resource), r.count)
		r.mu.Unlock()
		if next = list.Continue; next == "" {
			r.part(e.need, namespaced)
			return nil
		}
	}
}
