package bundle

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

//go:embed apply.sh
var applyFunctions string

// clusterFolder has what is done once, through the API.
const clusterFolder = "cluster"

// stepsFile says in which order; where it is, a folder is whole.
const stepsFile = "STEPS.md"

// A handout is a phase's folder: what each machine gets, and how.
type handout struct {
	*Folder
	plan    *rotate.Plan
	phase   rotate.Phase
	content func(rotate.Digest) ([]byte, error)
	again   string // the command that goes on
	files   map[string]file
	steps   bytes.Buffer
}

type file struct {
	data []byte
	mode fs.FileMode
}

// write makes the folder, whole or not at all. What an earlier run left at its
// place is made anew from the plan.
func (h *handout) write(out string) error {
	h.files = map[string]file{}
	if err := h.compose(); err != nil {
		return err
	}
	h.pause()
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		return fmt.Errorf("making the folder of bundles: %w", err)
	}
	tmp := filepath.Join(filepath.Dir(out), ".bulwark-new-"+filepath.Base(out))
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	h.pause()
	for _, name := range sorted(h.files) {
		f := h.files[name]
		if err := pki.WriteNew(filepath.Join(tmp, filepath.FromSlash(name)), f.data, f.mode); err != nil {
			return err
		}
	}
	h.pause()
	// Closed, whatever the modes of the files in it.
	if err := os.Chmod(tmp, 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return fmt.Errorf("replacing what was handed out before: %w", err)
	}
	h.pause()
	if err := os.Rename(tmp, out); err != nil {
		return fmt.Errorf("writing the bundles: %w", err)
	}
	h.pause()
	return nil
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// machineSteps are a machine's steps in a phase, in their order, and whether it
// can be well before others have had their turns.
func (h *handout) machineSteps(machine string) (steps []rotate.Step, alone bool) {
	for _, t := range h.phase.Turns {
		if t.Machine != machine {
			continue
		}
		has := func(a rotate.Action) bool {
			return slices.ContainsFunc(t.Steps, func(s rotate.Step) bool { return s.Do == a })
		}
		alone = alone || has(rotate.Restart) && has(rotate.Healthy)
		steps = append(steps, t.Steps...)
	}
	return steps, alone
}

func (h *handout) line(format string, args ...any) { fmt.Fprintf(&h.steps, format+"\n", args...) }

func (h *handout) compose() error {
	number := slices.IndexFunc(h.plan.Phases, func(p rotate.Phase) bool { return p.Name == h.phase.Name })
	h.line("# %s: phase %d of %d, %s\n", h.plan.Kind, number+1, len(h.plan.Phases), h.phase.Name)
	h.line("Afterwards: %s.\n", h.phase.Why)
	h.line("Machines have their turns **one after the other, in this order**. If a script stops, mend what it says and run it again; do not go on with the next machine. Keys are in these folders: copy them to nobody else, and remove them from a machine when its turn is over.")
	turn := 0
	for _, name := range h.phase.Machines() {
		if name == authorities {
			continue // here, and not before the phase is verified
		}
		steps, alone := h.machineSteps(name)
		if !slices.ContainsFunc(steps, func(s rotate.Step) bool { return s.Do == rotate.Write || s.Do == rotate.SetFlag }) {
			continue
		}
		turn++
		if err := h.machine(turn, name, steps, alone); err != nil {
			return err
		}
	}
	if err := h.cluster(turn + 1); err != nil {
		return err
	}
	h.line("\n## Then\n")
	h.line("    %s\n", h.again)
	h.line("asks the cluster whether this phase is in place everywhere, and only then writes the next one.")
	if h.phase.Name == rotate.Retire {
		h.line("\n**From the first machine of this phase on there is no way back.**")
	} else if !strings.HasPrefix(string(h.phase.Name), "undo-") {
		h.line("With `--abort` it writes the folders that go back, also when only some machines have had their turns.")
	}
	for _, n := range h.plan.Notes {
		h.line("\nNote: %s.", n)
	}
	h.files[stepsFile] = file{h.steps.Bytes(), 0o600}
	return nil
}

// machine adds what one machine gets.
func (h *handout) machine(turn int, name string, steps []rotate.Step, alone bool) error {
	h.line("\n## %d. %s\n", turn, name)
	for _, s := range steps {
		for _, c := range s.Changes() {
			if c.To == "" {
				continue
			}
			data, err := h.content(c.To)
			if err != nil {
				return err
			}
			inside := name + "/files" + c.File
			if name == people {
				inside = name + c.File
			}
			h.files[inside] = file{data, c.Mode}
		}
	}
	if name == people {
		h.line("Kubeconfigs of people: hand each to whoever uses it, on a way that is safe for keys, and see that they are in use before the next phase: those from before this one do not outlive it.\n")
		for _, s := range steps {
			for _, c := range s.Changes() {
				h.line("- `%s%s`", name, c.File)
			}
		}
		return nil
	}
	script, err := h.script(name, steps, alone)
	if err != nil {
		return err
	}
	h.files[name+"/apply.sh"] = file{script, 0o700}
	ssh := "root@" + name
	for _, host := range h.hosts() {
		if host.Name == name {
			ssh = "root@" + host.Addresses[0].String()
		}
	}
	if slices.ContainsFunc(steps, func(s rotate.Step) bool { return s.Do == rotate.Leave }) && len(h.config.ControlPlanes) > 1 {
		h.line("Take it out of the balancer first, and put it back in afterwards.\n")
	}
	h.line("    rsync -a --delete %s/ %s:/root/bulwark-rotation/", name, ssh)
	h.line("    ssh %s /root/bulwark-rotation/apply.sh && ssh %[1]s rm -rf /root/bulwark-rotation\n", ssh)
	h.line("It does this:\n")
	for _, s := range steps {
		switch s.Do {
		case rotate.Write, rotate.SetFlag, rotate.Restart:
			h.line("- %s", s)
		case rotate.Healthy:
			if alone {
				h.line("- %s", s)
			}
		default:
		}
	}
	if !alone && slices.ContainsFunc(steps, func(s rotate.Step) bool { return s.Do == rotate.Restart }) {
		h.line("\nIt does not wait until they are well: they cannot be before all machines have had their turns. Go on with the next at once.")
	}
	return nil
}

// started is the order in which components of a machine are restarted: who is
// depended on first.
var started = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

func (h *handout) script(name string, steps []rotate.Step, alone bool) ([]byte, error) {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#!/bin/sh")
	line("# %s, phase %s of the rotation of %s. Run it as root on that machine.", name, h.phase.Name, h.plan.Kind)
	b.WriteString(applyFunctions)
	api, err := h.address(name, "kube-apiserver")
	if err != nil {
		return nil, err
	}
	line("api=%s", quote(api))
	none := func(d rotate.Digest) string {
		if d == "" {
			return "none"
		}
		return string(d)
	}
	for _, s := range steps {
		for _, c := range s.Changes() {
			line("check %s %s %s", quote(c.File), none(c.From), none(c.To))
		}
	}
	for _, s := range steps {
		for _, c := range s.Changes() {
			if c.To != "" {
				line("stage %s %s %04o", quote(c.File), c.To, c.Mode.Perm())
			}
		}
	}
	line("sync")
	var restart, well []string
	for _, s := range steps {
		switch s.Do {
		case rotate.Write:
			if s.To == "" {
				line("drop %s", quote(s.File))
				continue
			}
			var together []string
			for _, c := range s.Changes() {
				together = append(together, quote(c.File))
			}
			line("place %s", strings.Join(together, " "))
		case rotate.SetFlag:
			line("set_flag %s %s %s", s.Component, s.Flag, quote(s.FlagTo))
		case rotate.Restart:
			restart = append(restart, s.Components...)
		case rotate.Healthy:
			well = append(well, s.Components...)
		default:
		}
	}
	line("sync")
	for _, c := range started {
		if !slices.Contains(restart, c) {
			continue
		}
		line("restart %s", c)
		if alone && slices.Contains(well, c) {
			line("well %s", c)
		}
	}
	if alone && len(well) > 0 {
		line("well %s", strings.Join(well, " "))
	}
	line("say 'done: the next machine may have its turn'")
	return b.Bytes(), nil
}

// quote makes one word of a shell of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// cluster adds what is done through the API: nobody takes an authority out of
// what apiservers publish, and nobody changes cluster-info.
func (h *handout) cluster(turn int) error {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#!/bin/sh\n# Run it with a KUBECONFIG of an administrator, when all machines have had their turns.\nset -eu\numask 077\ncd \"$(dirname \"$0\")\"")
	needed := false
	for _, t := range h.phase.Turns {
		for _, s := range t.Steps {
			if s.Do != rotate.Publish {
				continue
			}
			trust, err := h.content(s.Trust)
			if err != nil {
				return err
			}
			name, field, isField := strings.Cut(s.Object, "/")
			switch {
			case isField && s.Without != "": // apiservers only ever add
				patch, err := json.Marshal(map[string]any{"data": map[string]string{field: string(trust)}})
				if err != nil {
					return err
				}
				h.files[clusterFolder+"/"+field+".json"] = file{append(patch, '\n'), 0o600}
				line("kubectl -n kube-system patch configmap %s --type merge --patch-file %s.json", name, field)
				needed = true
			case name == "cluster-info":
				h.files[clusterFolder+"/ca.crt"] = file{trust, 0o600}
				line(`if kubectl -n kube-public get configmap cluster-info >/dev/null 2>&1; then
	kubectl -n kube-public get configmap cluster-info -o 'jsonpath={.data.kubeconfig}' |
		sed "s#certificate-authority-data: .*#certificate-authority-data: $(base64 <ca.crt | tr -d '\n')#" >cluster-info
	kubectl -n kube-public create configmap cluster-info --from-file=kubeconfig=cluster-info --dry-run=client -o yaml |
		kubectl apply --server-side --force-conflicts --field-manager=bulwark -f -
	rm -f cluster-info
fi`)
				needed = true
			}
		}
	}
	if !needed {
		return nil
	}
	h.files[clusterFolder+"/apply.sh"] = file{b.Bytes(), 0o700}
	h.line("\n## %d. The cluster's objects\n", turn)
	h.line("    KUBECONFIG=… %s/apply.sh\n", clusterFolder)
	h.line("It changes what the API publishes as trusted, as far as nobody else does: `cluster-info`, where there is one, and in retire `extension-apiserver-authentication`, to which apiservers only add. An apiserver that has not read its file yet puts the old one back: then run it again after a minute.")
	return nil
}
