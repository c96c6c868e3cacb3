package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// tables reads Secrets or ConfigMaps without their values. The server is asked for
// what kubectl prints (k8s.io/kubernetes/pkg/printers/internalversion: the type and
// the number of keys) with each row's metadata. The names of the keys stand in
// metadata.managedFields, which the server keeps itself; where their number differs
// from the one it printed, somebody cleared that record and the names are unknown.
func (r *reader) tables(ctx context.Context, resource string, need cluster.Need) error {
	opts := metav1.ListOptions{Limit: r.opts.PageSize}
	var text bytes.Buffer
	for {
		req := r.core().Get().Resource(resource).VersionedParams(&opts, scheme.ParameterCodec).
			Param("includeObject", string(metav1.IncludeMetadata)).
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		if r.opts.Namespace != "" {
			req = req.Namespace(r.opts.Namespace)
		}
		if err := page(ctx, req, &text); err != nil {
			if expired(err) && opts.Continue != "" {
				opts.Continue = "" // as for other lists
				continue
			}
			return r.fault(err, need, "")
		}
		var table table
		if err := json.Unmarshal(text.Bytes(), &table); err != nil || table.Kind != "Table" {
			return r.fault(fmt.Errorf("the server does not print %s as a table", resource), need, "")
		}
		r.mu.Lock()
		for _, row := range table.Rows {
			if err := r.row(resource, table.ColumnDefinitions, row); err != nil {
				r.opts.Log.Debug("row not read", "resource", resource, "err", err)
				r.b.Gap(cluster.Gap{Need: need, Reason: err.Error()})
			}
		}
		r.opts.Progress(resource, r.count)
		r.mu.Unlock()
		if opts.Continue = table.Metadata.Continue; opts.Continue == "" {
			break
		}
	}
	r.looked(need)
	r.part(need, true)
	return nil
}

// A table is a metav1.Table whose rows hold metadata, and of managedFields nothing but the
// names of keys, so that it is read in one go.
type table struct {
	metav1.TypeMeta
	Metadata          metav1.ListMeta                `json:"metadata"`
	ColumnDefinitions []metav1.TableColumnDefinition `json:"columnDefinitions"`
	Rows              []row                          `json:"rows"`
}

type row struct {
	Cells  []any `json:"cells"`
	Object struct {
		Metadata struct {
			metav1.ObjectMeta
			ManagedFields []managed `json:"managedFields"` // in place of ObjectMeta's
		} `json:"metadata"`
	} `json:"object"`
}

// A managed is an entry of metadata.managedFields: the fields that one manager set
// (sigs.k8s.io/structured-merge-diff/fieldpath: "f:" begins a field).
type managed struct {
	Fields struct {
		Data   map[string]struct{} `json:"f:data"`
		String map[string]struct{} `json:"f:stringData"`
		Binary map[string]struct{} `json:"f:binaryData"`
	} `json:"fieldsV1"`
}

func (r *reader) row(resource string, columns []metav1.TableColumnDefinition, row row) error {
	m := &row.Object.Metadata
	if m.Name == "" {
		return fmt.Errorf("a row of %s has no metadata", resource)
	}
	meta := m.ObjectMeta // a copy, which does not keep the page
	keys := managedKeys(m.ManagedFields)
	count, counted := number(cell(columns, row, "Data"))
	known := counted && count == len(keys)
	src := cluster.Source{Origin: "/api/v1/" + resource, ResourceVersion: m.ResourceVersion}
	r.count++
	if resource == "secrets" {
		typ, _ := cell(columns, row, "Type").(string)
		r.b.AddSecret(&meta, cluster.SecretFacts{Type: typ, Keys: keys, KeysKnown: known}, src)
		return nil
	}
	r.b.AddConfigMap(&meta, cluster.ConfigMapFacts{Keys: keys, KeysKnown: known}, src)
	return nil
}

func cell(columns []metav1.TableColumnDefinition, row row, name string) any {
	i := slices.IndexFunc(columns, func(c metav1.TableColumnDefinition) bool { return c.Name == name })
	if i < 0 || i >= len(row.Cells) {
		return nil
	}
	return row.Cells[i]
}

func number(v any) (int, bool) {
	switch v := v.(type) {
	case string:
		n, err := strconv.Atoi(v)
		return n, err == nil
	case float64:
		return int(v), true
	case int64:
		return int(v), true
	}
	return 0, false
}

// managedKeys returns the keys of data, stringData and binaryData that any manager
// set, sorted.
func managedKeys(entries []managed) []string {
	keys := []string{}
	for _, e := range entries {
		for _, m := range []map[string]struct{}{e.Fields.Data, e.Fields.String, e.Fields.Binary} {
			for k := range m {
				if name, ok := strings.CutPrefix(k, "f:"); ok && name != "" {
					keys = append(keys, name)
				}
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
