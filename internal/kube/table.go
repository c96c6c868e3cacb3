package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

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
	for {
		req := r.core().Get().Resource(resource).VersionedParams(&opts, scheme.ParameterCodec).
			Param("includeObject", string(metav1.IncludeMetadata)).
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		if r.opts.Namespace != "" {
			req = req.Namespace(r.opts.Namespace)
		}
		raw, err := req.DoRaw(ctx)
		if err != nil {
			if expired(err) && opts.Continue != "" {
				opts.Continue = "" // as for other lists
				continue
			}
			return r.fault(err, need, "")
		}
		var table metav1.Table
		if err := json.Unmarshal(raw, &table); err != nil || table.Kind != "Table" {
			return r.fault(fmt.Errorf("the server does not print %s as a table", resource), need, "")
		}
		r.mu.Lock()
		for _, row := range table.Rows {
			if err := r.row(resource, &table, row); err != nil {
				r.opts.Log.Debug("row not read", "resource", resource, "err", err)
				r.b.Gap(cluster.Gap{Need: need, Reason: err.Error()})
			}
		}
		r.opts.Progress(resource, r.count)
		r.mu.Unlock()
		if opts.Continue = table.Continue; opts.Continue == "" {
			break
		}
	}
	r.looked(need)
	r.part(need, true)
	return nil
}

func (r *reader) row(resource string, table *metav1.Table, row metav1.TableRow) error {
	var m metav1.PartialObjectMetadata
	if err := json.Unmarshal(row.Object.Raw, &m); err != nil || m.Name == "" {
		return fmt.Errorf("a row of %s has no metadata", resource)
	}
	keys := managedKeys(m.ManagedFields)
	count, counted := number(cell(table, row, "Data"))
	known := counted && count == len(keys)
	src := cluster.Source{Origin: "/api/v1/" + resource, ResourceVersion: m.ResourceVersion}
	r.count++
	if resource == "secrets" {
		typ, _ := cell(table, row, "Type").(string)
		r.b.AddSecret(&m.ObjectMeta, cluster.SecretFacts{Type: typ, Keys: keys, KeysKnown: known}, src)
		return nil
	}
	r.b.AddConfigMap(&m.ObjectMeta, cluster.ConfigMapFacts{Keys: keys, KeysKnown: known}, src)
	return nil
}

func cell(table *metav1.Table, row metav1.TableRow, column string) any {
	i := slices.IndexFunc(table.ColumnDefinitions, func(c metav1.TableColumnDefinition) bool { return c.Name == column })
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
// set, sorted (sigs.k8s.io/structured-merge-diff/fieldpath: "f:" begins a field).
func managedKeys(entries []metav1.ManagedFieldsEntry) []string {
	seen := map[string]bool{}
	for _, e := range entries {
		if e.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Data   map[string]json.RawMessage `json:"f:data"`
			String map[string]json.RawMessage `json:"f:stringData"`
			Binary map[string]json.RawMessage `json:"f:binaryData"`
		}
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for _, m := range []map[string]json.RawMessage{fields.Data, fields.String, fields.Binary} {
			for k := range m {
				if len(k) > 2 && k[:2] == "f:" {
					seen[k[2:]] = true
				}
			}
		}
	}
	keys := make([]string, 0, len(seen))
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
