package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An extra is a kind that a cluster may not have, or has in a version that is not known
// beforehand. It is listed in the version that the server prefers, in JSON.
type extra struct {
	need       cluster.Need
	kind       string
	namespaced bool
	parse      func(raw []byte) (metav1.Object, error)
}

func typed[T any, P interface {
	*T
	metav1.Object
}](raw []byte) (metav1.Object, error) {
	o := P(new(T))
	return o, json.Unmarshal(raw, o)
}

// extras are Kubernetes' own kinds that became stable late, with the same fields as in
// their last beta, and all kinds beside Kubernetes' own.
var extras = func() []extra {
	out := []extra{
		{cluster.MutatingPolicies, "MutatingAdmissionPolicy", false, typed[admissionv1.MutatingAdmissionPolicy]},
		{cluster.MutatingPolicyBindings, "MutatingAdmissionPolicyBinding", false, typed[admissionv1.MutatingAdmissionPolicyBinding]},
		{cluster.DeviceClaims, "ResourceClaim", true, typed[resourcev1.ResourceClaim]},
		{cluster.DeviceClaimTemplates, "ResourceClaimTemplate", true, typed[resourcev1.ResourceClaimTemplate]},
	}
	for _, k := range cluster.CustomKinds {
		out = append(out, extra{k.Need, k.Name(), k.Namespaced, func(raw []byte) (metav1.Object, error) { return k.ParseCustom(raw) }})
	}
	return out
}()

// extras reads what the cluster has of them. A group that the server does not know holds
// nothing; that is asked first, because a server refuses what it does not know with the
// same words as what one may not see.
func (r *reader) extras(ctx context.Context) error {
	groups, err := r.groups(ctx)
	if err != nil {
		for _, e := range extras {
			if !r.wants(e.need) {
				continue
			}
			if err := r.fault(fmt.Errorf("asking which kinds there are: %w", err), e.need, ""); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range extras {
		if !r.wants(e.need) {
			continue
		}
		group, name := e.need.GroupResource()
		served := false
		for _, gv := range groups[group] {
			if served, err = r.serves(ctx, gv, name); err != nil || served {
				if err == nil {
					err = r.listExtra(ctx, e, gv, name)
				}
				break
			}
		}
		if err != nil {
			if err := r.fault(err, e.need, ""); err != nil {
				return err
			}
			continue
		}
		r.looked(e.need)
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

// serves reports whether a version of a group has the resource.
func (r *reader) serves(ctx context.Context, groupVersion, resource string) (bool, error) {
	raw, ok := r.discovered[groupVersion]
	if !ok {
		var err error
		if raw, err = r.core().Get().AbsPath("/apis/"+groupVersion).SetHeader("Accept", "application/json").DoRaw(ctx); err != nil {
			return false, err
		}
		r.discovered[groupVersion] = raw
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return false, fmt.Errorf("/apis/%s is not the list of resources that it should be", groupVersion)
	}
	return slices.ContainsFunc(list.APIResources, func(res metav1.APIResource) bool { return res.Name == resource }), nil
}

// listExtra reads all pages of one kind.
func (r *reader) listExtra(ctx context.Context, e extra, groupVersion, resource string) error {
	path := "/apis/" + groupVersion
	if e.namespaced && r.opts.Namespace != "" {
		path += "/namespaces/" + r.opts.Namespace
	}
	path += "/" + resource
	next := ""
	for {
		raw, err := r.core().Get().AbsPath(path).Param("limit", fmt.Sprint(r.opts.PageSize)).Param("continue", next).
			SetHeader("Accept", "application/json").DoRaw(ctx)
		if err != nil {
			if apierrors.IsResourceExpired(err) && next != "" {
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
				r.b.Gap(cluster.Gap{Need: e.need, Reason: "one of them is not what it should be"})
				continue
			}
			r.b.Add(groupVersion, e.kind, o, cluster.Source{Origin: path})
			r.count++
		}
		r.opts.Progress(strings.ToLower(resource), r.count)
		r.mu.Unlock()
		if next = list.Continue; next == "" {
			return nil
		}
	}
}
