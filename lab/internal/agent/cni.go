package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// conflistName sorts before what other tools would put into the folder; the
// runtime takes the first.
const conflistName = "10-lab.conflist"

// conflist is the CNI configuration: a routed pair of interfaces for each pod,
// so that packets between two pods of one node are forwarded and meet the
// policies too.
func conflist(plan Plan, mtu int) ([]byte, error) {
	type object = map[string]any
	data, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "lab",
		"plugins": []object{
			{
				"type": "ptp",
				"mtu":  mtu,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": plan.PodCIDR.String()}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
					// Leases end with the pods, and those with /run.
					"dataDir": "/run/lab-net/ipam",
				},
			},
			{
				"type":         "portmap",
				"backend":      "nftables",
				"snat":         true,
				"capabilities": object{"portMappings": true},
			},
		},
	}, "", "  ")
	return append(data, '\n'), err
}

// writeConflist puts the configuration into dir, whole or not at all, since the
// runtime watches the folder.
func writeConflist(dir string, plan Plan) error {
	mtu, err := mtuOf(plan.Addr)
	if err != nil {
		return err
	}
	want, err := conflist(plan, mtu)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, conflistName)
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, want) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	// The runtime ignores names without a known suffix.
	temp, err := os.CreateTemp(dir, ".lab-*.tmp")
	if err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	defer os.Remove(temp.Name())
	if _, err := temp.Write(want); err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	if err := temp.Close(); err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	if err := os.Rename(temp.Name(), name); err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	return nil
}
