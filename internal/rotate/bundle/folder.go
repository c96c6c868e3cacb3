package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// Two machines of an inventory are no machines: where the authorities are, and
// what people hold.
const (
	authorities = "ca"
	people      = "admin"
)

const (
	kubernetesDir = "/etc/kubernetes"
	certificates  = kubernetesDir + "/pki/"
	kubeletDir    = "/var/lib/kubelet/pki"
)

// Folder is a cluster's files: a folder for each machine, with the machine's
// own root below it.
type Folder struct {
	dir    string
	config pki.Config
	step   func() // called around every change of a file; tests die in it
}

// A hinted error says what to do.
type hinted struct {
	error
	hint string
}

func (e *hinted) Hint() string  { return e.hint }
func (e *hinted) Unwrap() error { return e.error }

// path is where a machine's file is.
func (f *Folder) path(machine, file string) string {
	name := filepath.Join(f.dir, machine, filepath.FromSlash(file))
	if machine == authorities {
		name = filepath.Join(f.dir, authorities, filepath.FromSlash(strings.TrimPrefix(file, certificates)))
	}
	// A kubelet's link says where its file is on its machine; here it is beside.
	if target, err := os.Readlink(name); err == nil {
		return filepath.Join(filepath.Dir(name), filepath.Base(target))
	}
	return name
}

func (f *Folder) hosts() []pki.Host {
	return slices.Concat(f.config.ControlPlanes, f.config.Etcd, f.config.Workers)
}

// Inventory reads every file that could hold a certificate or a key.
func (f *Folder) Inventory() (rotate.Inventory, error) {
	var inv rotate.Inventory
	for _, h := range f.hosts() {
		m, err := f.machine(h.Name)
		if err != nil {
			return inv, fmt.Errorf("machine %s: %w", h.Name, err)
		}
		inv.Pods = inv.Pods || slices.Contains(m.Components, "kubelet")
		inv.Machines = append(inv.Machines, m)
	}
	for name, root := range map[string]string{authorities: certificates, people: "/"} {
		m := rotate.Machine{Name: name, Files: map[string]rotate.File{}}
		if err := f.read(name, filepath.Join(f.dir, name), root, m.Files); err != nil {
			return inv, err
		}
		inv.Machines = append(inv.Machines, m)
	}
	// The map above has no order, and turns have.
	slices.SortStableFunc(inv.Machines[len(inv.Machines)-2:], func(a, b rotate.Machine) int { return -strings.Compare(a.Name, b.Name) })
	return inv, nil
}

func (f *Folder) machine(name string) (rotate.Machine, error) {
	m := rotate.Machine{Name: name, Files: map[string]rotate.File{}}
	root := filepath.Join(f.dir, name)
	if info, err := os.Stat(filepath.Join(root, filepath.FromSlash(kubernetesDir))); err != nil || !info.IsDir() {
		return m, &hinted{
			fmt.Errorf("no folder %s", filepath.Join(root, filepath.FromSlash(kubernetesDir))),
			fmt.Sprintf("collect it, as root: rsync -aR root@%s:/etc/kubernetes root@%[1]s:/var/lib/kubelet/pki %s/", name, root),
		}
	}
	for _, dir := range []string{kubernetesDir, kubeletDir} {
		if err := f.read(name, filepath.Join(root, filepath.FromSlash(dir)), dir, m.Files); err != nil {
			return m, err
		}
	}
	m.Components = components(m.Files)
	return m, rotatedByKubelet(m.Files)
}

// components are those that have files of their own on a machine.
func components(files map[string]rotate.File) []string {
	var all []string
	for _, c := range []struct{ name, file string }{
		{"etcd", certificates + "etcd/server.crt"},
		{"kube-apiserver", certificates + "apiserver.crt"},
		{"kube-controller-manager", kubernetesDir + "/controller-manager.conf"},
		{"kube-scheduler", kubernetesDir + "/scheduler.conf"},
		{"kubelet", kubernetesDir + "/kubelet.conf"},
		{"kube-proxy", kubernetesDir + "/kube-proxy.conf"},
	} {
		if _, ok := files[c.file]; ok {
			all = append(all, c.name)
		}
	}
	return all
}

// rotatedByKubelet refuses a kubeconfig whose certificate is in a file that was
// not collected: nobody would replace it.
func rotatedByKubelet(files map[string]rotate.File) error {
	const conf = kubernetesDir + "/kubelet.conf"
	cfg, err := clientcmd.Load(files[conf].Data)
	if err != nil {
		return fmt.Errorf("%s: not a kubeconfig", conf)
	}
	for _, user := range cfg.AuthInfos {
		if user == nil || user.ClientCertificate == "" {
			continue
		}
		if _, ok := files[path.Clean(user.ClientCertificate)]; !ok {
			return &hinted{
				fmt.Errorf("kubelet.conf refers to %s, which is not in the folder", user.ClientCertificate),
				"collect " + kubeletDir + " of every machine too: otherwise its kubelet keeps a certificate of the old authority",
			}
		}
	}
	return nil
}

// read adds the files below dir, which the machine knows as inside.
func (f *Folder) read(machine, dir, inside string, into map[string]rotate.File) error {
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		file := path.Join(inside, filepath.ToSlash(rel))
		if !slices.Contains([]string{".crt", ".key", ".pub", ".pem", ".conf", ".age"}, filepath.Ext(name)) || machine == people && filepath.Ext(name) != ".conf" {
			return nil
		}
		real := f.path(machine, file)
		info, err := os.Lstat(real)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: neither a file nor a link to one beside it", name)
		}
		data, err := os.ReadFile(real)
		if err != nil {
			return err
		}
		into[file] = rotate.File{Data: data, Mode: info.Mode().Perm()}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	// A kubelet keeps all the pairs it ever had; one counts.
	for _, kind := range []string{"/kubelet-client-", "/kubelet-server-"} {
		if _, ok := into[kubeletDir+kind+"current.pem"]; !ok {
			continue
		}
		for file := range into {
			if strings.HasPrefix(file, kubeletDir+kind) && !strings.HasSuffix(file, "-current.pem") {
				delete(into, file)
			}
		}
	}
	return nil
}

// put writes a file, whether it is there or not.
func (f *Folder) put(name string, data []byte, mode fs.FileMode) error {
	f.pause()
	defer f.pause()
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return pki.WriteNew(name, data, mode)
	}
	return pki.Replace(name, data)
}

func (f *Folder) remove(name string) error {
	f.pause()
	defer f.pause()
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *Folder) pause() {
	if f.step != nil {
		f.step()
	}
}

// sweep removes what a killed process left half-written.
func (f *Folder) sweep() error {
	return filepath.WalkDir(f.dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			pki.Sweep(name)
		}
		return err
	})
}

// Ports of servers that kubeadm, and nearly everybody, leaves as they are.
var ports = map[string]int{
	"etcd": 2379, "etcd-peer": 2380, "kubelet": 10250, "kube-controller-manager": 10257, "kube-scheduler": 10259,
}

// address is where a server of a machine is dialled.
func (f *Folder) address(machine, server string) (string, error) {
	port := ports[server]
	if server == "kube-apiserver" {
		port = f.config.BindPort
	}
	for _, h := range f.hosts() {
		if h.Name == machine && port != 0 {
			return net.JoinHostPort(h.Addresses[0].String(), strconv.Itoa(port)), nil
		}
	}
	return "", fmt.Errorf("machine %s: %s has no address in cluster.yaml", machine, server)
}
