package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A ChangeOp is what a Change does.
type ChangeOp string

// The operations.
const (
	Set    ChangeOp = "set"
	Remove ChangeOp = "remove"
)

// A Change is one edit of an object. Path speaks the same language as evidence:
// fields separated by dots, with [x] for a list's item whose name is x (or whose
// index is x) or a map's key x: "spec.containers[cart].securityContext.privileged",
// "metadata.labels[pod-security.kubernetes.io/enforce]".
type Change struct {
	Op    ChangeOp `json:"op"`
	Path  string   `json:"path"`
	Value any      `json:"value,omitempty"`
}

func (c Change) String() string {
	if c.Op == Remove {
		return "remove " + c.Path
	}
	v, _ := json.Marshal(c.Value)
	return fmt.Sprintf("set %s to %s", c.Path, v)
}

// A step of a path: a field, or what stands in brackets.
type step struct {
	name    string
	bracket bool
}

func parsePath(path string) ([]step, error) {
	var steps []step
	for rest := path; rest != ""; {
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, fmt.Errorf("path %s: bracket is not closed", path)
			}
			steps = append(steps, step{rest[1:end], true})
			rest = strings.TrimPrefix(rest[end+1:], ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, fmt.Errorf("path %s: empty field", path)
		}
		steps = append(steps, step{rest[:end], false})
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("path is empty")
	}
	return steps, nil
}

// Apply makes the changes in an object as decoded from JSON. It creates the maps
// that lead to a field, never a list's item. Applying twice equals applying once.
func Apply(object map[string]any, changes []Change) error {
	for _, c := range changes {
		steps, err := parsePath(c.Path)
		if err != nil {
			return err
		}
		if _, err := apply(object, steps, c); err != nil {
			return fmt.Errorf("path %s: %w", c.Path, err)
		}
	}
	return nil
}

// Lookup returns what stands at a path in an object as decoded from JSON, and whether
// anything does.
func Lookup(object map[string]any, path string) (any, bool) {
	steps, err := parsePath(path)
	if err != nil {
		return nil, false
	}
	var node any = object
	for _, s := range steps {
		switch n := node.(type) {
		case map[string]any:
			child, ok := n[s.name]
			if !ok {
				return nil, false
			}
			node = child
		case []any:
			i := find(n, s.name)
			if i < 0 {
				return nil, false
			}
			node = n[i]
		default:
			return nil, false
		}
	}
	return node, true
}

// apply changes node and returns what stands in its place, as a list that loses an
// item is a new slice.
func apply(node any, steps []step, c Change) (any, error) {
	s, last := steps[0], len(steps) == 1
	switch n := node.(type) {
	case map[string]any:
		if last {
			if c.Op == Remove {
				delete(n, s.name)
			} else {
				n[s.name] = c.Value
			}
			return n, nil
		}
		child, ok := n[s.name]
		if !ok || child == nil {
			if c.Op == Remove {
				return n, nil
			}
			if !steps[1].bracket || isMapKey(steps[1].name) {
				child = map[string]any{}
			} else {
				return nil, fmt.Errorf("no list %s", s.name)
			}
		}
		child, err := apply(child, steps[1:], c)
		if err != nil {
			return nil, err
		}
		n[s.name] = child
		return n, nil
	case []any:
		i := find(n, s.name)
		switch {
		case i < 0 && c.Op == Remove:
			return n, nil
		case i < 0:
			return nil, fmt.Errorf("no item %s", s.name)
		case last && c.Op == Remove:
			return slices.Delete(n, i, i+1), nil
		case last:
			return nil, fmt.Errorf("item %s: set its fields, not the whole", s.name)
		}
		child, err := apply(n[i], steps[1:], c)
		if err != nil {
			return nil, err
		}
		n[i] = child
		return n, nil
	}
	return nil, fmt.Errorf("%s: not an object or list", s.name)
}

// isMapKey tells a label or annotation key, which may be created, from a list's item.
func isMapKey(name string) bool { return strings.ContainsAny(name, "/.") }

func find(list []any, name string) int {
	for i, item := range list {
		if m, ok := item.(map[string]any); ok && m["name"] == name {
			return i
		}
		// A list of plain strings, such as capabilities, is searched by value.
		if s, ok := item.(string); ok && s == name {
			return i
		}
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(list) {
		return i
	}
	return -1
}

// MergePatch renders the changes as a strategic merge patch, which kubectl patch
// takes for every built-in kind. It reports false where a change has no such form:
// taking one string out of a list.
func MergePatch(changes []Change) (string, bool) {
	root := map[string]any{}
	for _, c := range changes {
		steps, err := parsePath(c.Path)
		if err != nil || !merge(root, steps, c) {
			return "", false
		}
	}
	out, err := json.Marshal(root)
	return string(out), err == nil
}

// mergedByName are the lists of a pod spec whose patchMergeKey is name
// (k8s.io/api/core/v1/types.go).
var mergedByName = map[string]bool{
	"containers": true, "initContainers": true, "ephemeralContainers": true,
	"volumes": true, "env": true, "imagePullSecrets": true,
}

func merge(node map[string]any, steps []step, c Change) bool {
	s := steps[0]
	if len(steps) == 1 {
		if s.bracket && !isMapKey(s.name) {
			return false
		}
		if c.Op == Remove {
			node[s.name] = nil
		} else {
			node[s.name] = c.Value
		}
		return true
	}
	if next := steps[1]; next.bracket && !isMapKey(next.name) {
		if !mergedByName[s.name] {
			return false // replaced as a whole, or merged by another key
		}
		list, _ := node[s.name].([]any)
		i := find(list, next.name)
		if i < 0 {
			list = append(list, map[string]any{"name": next.name})
			i = len(list) - 1
		}
		node[s.name] = list
		item := list[i].(map[string]any)
		if len(steps) == 2 {
			if c.Op != Remove {
				return false
			}
			item["$patch"] = "delete"
			return true
		}
		return merge(item, steps[2:], c)
	}
	child, ok := node[s.name].(map[string]any)
	if !ok {
		child = map[string]any{}
		node[s.name] = child
	}
	return merge(child, steps[1:], c)
}
