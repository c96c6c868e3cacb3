package gather

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// extensions are what certificates, keys and kubeconfigs are called.
var extensions = []string{".crt", ".pem", ".key", ".pub", ".cert", ".cer", ".conf", ".kubeconfig", ".age"}

// passedBy are folders that are large and hold none of it.
var passedBy = []string{"containerd", "data", "db", "member", "pods", "plugins", "snapshots", "usr", "proc", "sys", ".git", "node_modules"}

// inside are where a machine's own tree begins: what stands before is the machine's
// folder in a set of bundles.
var inside = []string{"/etc/kubernetes", "/var/lib/kubelet", "/var/lib/rancher", "/etc/rancher", "/etc/etcd"}

// staticPods are the folders that a kubelet takes its static pods from: kubeadm's, RKE2's.
var staticPods = []string{"manifests", "pod-manifests"}

// dynamicCert is where the supervisor of k3s and RKE2 keeps what it serves with: a Secret
// in JSON (rancher/dynamiclistener, storage/file/file.go).
const dynamicCert = "dynamic-cert.json"

// rotated is an old certificate of a kubelet, kept beside the one in use.
var rotated = regexp.MustCompile(`^kubelet-(client|server)-\d{4}-.*\.pem$`)

// Folder reads every certificate, key, kubeconfig and static pod below dir. It returns
// an error where the folder itself cannot be read.
func (r *Reader) Folder(ctx context.Context, dir string) error {
	if _, err := os.ReadDir(dir); err != nil {
		return err
	}
	r.opts.Progress(dir)
	if err := r.walk(ctx, dir); err != nil {
		return err
	}
	// The kubelet's certificates stand apart from the rest.
	if root, ok := strings.CutSuffix(slash(absolute(dir)), "/etc/kubernetes"); ok {
		for _, extra := range []string{root + "/var/lib/kubelet/pki", root + "/var/lib/kubelet/config.yaml"} {
			switch info, err := os.Stat(extra); {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				r.gap(extra, reason(err))
			case info.IsDir():
				if err := r.walk(ctx, extra); err != nil {
					return err
				}
			default:
				r.file(extra, false)
			}
		}
	}
	return nil
}

func (r *Reader) walk(ctx context.Context, dir string) error {
	files := 0
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.gap(path, reason(err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name := d.Name()
		if d.IsDir() {
			if path != dir && slices.Contains(passedBy, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !interesting(path) || rotated.MatchString(name) {
			return nil
		}
		if files++; files > r.opts.Limit {
			r.gap(dir, fmt.Sprintf("more than %d files; the rest was not read", r.opts.Limit))
			return fs.SkipAll
		}
		r.file(path, false)
		return nil
	})
}

// interesting reports whether a file in a folder is one to open.
func interesting(path string) bool {
	name := filepath.Base(path)
	ext := filepath.Ext(name)
	switch {
	case slices.Contains(extensions, ext):
		return true
	case ext == ".yaml" || ext == ".yml":
		return slices.Contains(staticPods, filepath.Base(filepath.Dir(path))) || strings.Contains(name, "kubeconfig") ||
			name == "k3s.yaml" || name == "rke2.yaml" || strings.HasSuffix(slash(path), "/kubelet/config.yaml")
	}
	return name == dynamicCert || name == "kubeconfig" || name == "config" && filepath.Base(filepath.Dir(path)) == ".kube"
}

// File reads one file that the user named. It returns an error where that cannot be read.
func (r *Reader) File(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	r.opts.Progress(path)
	r.file(path, true)
	return nil
}

// file reads one file. Where it was asked for by name, it has to be something we know.
func (r *Reader) file(path string, asked bool) {
	key := absolute(path)
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	at := r.place(path)
	purpose := trust.PurposeOf(slash(key))
	data, file, err := readFile(path)
	if err != nil {
		r.gap(label(at), reason(err))
		return
	}
	defer clear(data)
	switch {
	case looksLikePEM(data):
		r.pem(at, purpose, file, data)
	case filepath.Base(path) == dynamicCert:
		r.secretFile(at, purpose, file, data)
	case isKubeconfig(data):
		r.kubeconfig(path, at, purpose, file, data)
	case slices.Contains([]string{".yaml", ".conf"}, filepath.Ext(path)) && r.component(at, data):
		// Kubelets of k3s and RKE2 have their configuration in kubelet.conf.d/*.conf.
	case filepath.Ext(path) == ".yaml":
		if asked {
			r.gap(label(at), "no kubeconfig and no certificate")
		}
	case asked || purpose != nil || slices.Contains([]string{".crt", ".key", ".kubeconfig"}, filepath.Ext(path)):
		why := "no certificate, key or kubeconfig that can be parsed"
		if len(bytes.TrimSpace(data)) == 0 {
			why = "it is empty"
		}
		r.gap(label(at), why)
	}
}

func label(at trust.Place) string {
	if at.Machine != "" {
		return at.Name + " on " + at.Machine
	}
	return at.Name
}

func looksLikePEM(data []byte) bool {
	return bytes.HasPrefix(data, []byte("age-encryption.org/v1")) ||
		bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN ")) ||
		bytes.Contains(data, []byte("\n-----BEGIN ")) && !bytes.Contains(data, []byte("apiVersion:"))
}

// pem adds the certificates and keys of a file.
func (r *Reader) pem(at trust.Place, purpose *trust.Purpose, file *trust.File, data []byte) {
	b := parsePEM(data)
	for _, p := range b.problems {
		r.gap(label(at), p)
	}
	if b.empty() {
		r.gap(label(at), "no certificate or key that can be parsed")
	}
	for i, cert := range b.certs {
		r.facts.Certificates = append(r.facts.Certificates, trust.Certificate{
			Certificate: cert, Place: at, Purpose: purpose, Position: i, File: file,
			Trusted: purpose != nil && purpose.Authority,
		})
	}
	for _, k := range b.keys {
		r.facts.Keys = append(r.facts.Keys, trust.Key{
			Place: at, ID: k.id, Encrypted: k.encrypted, Public: k.public, Algorithm: k.algorithm, Bits: k.bits,
			Purpose: purpose, File: file,
		})
	}
}

// secretFile adds the certificate and the key of a Secret that lies in a file.
func (r *Reader) secretFile(at trust.Place, purpose *trust.Purpose, file *trust.File, data []byte) {
	var s struct {
		Data map[string][]byte `json:"data"`
	}
	err := json.Unmarshal(data, &s)
	defer func() {
		for _, value := range s.Data {
			clear(value)
		}
	}()
	if err != nil || len(s.Data["tls.crt"]) == 0 {
		r.gap(label(at), "no Secret with a tls.crt") // the decoder's words could quote a value
		return
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if len(s.Data[name]) > 0 {
			at.Detail = name
			r.pem(at, purpose, file, s.Data[name])
		}
	}
}

// component reads the arguments of a static pod, or a kubelet's configuration.
func (r *Reader) component(at trust.Place, data []byte) bool {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return false
	}
	switch kind.Kind {
	case "Pod":
		var pod corev1.Pod
		if err := yaml.Unmarshal(data, &pod); err != nil {
			r.gap(label(at), "no static pod that can be parsed")
			return true
		}
		for _, c := range pod.Spec.Containers {
			args := slices.Concat(c.Command, c.Args)
			if len(args) > 0 {
				r.facts.Components = append(r.facts.Components, trust.Component{
					Name: filepath.Base(args[0]), Machine: at.Machine, Source: at.Name, Flags: cluster.ParseFlags(args[1:]),
				})
			}
		}
		return true
	case "KubeletConfiguration":
		var config struct {
			TLSCertFile        string `json:"tlsCertFile"`
			ServerTLSBootstrap bool   `json:"serverTLSBootstrap"`
			Authentication     struct {
				X509 struct {
					ClientCAFile string `json:"clientCAFile"`
				} `json:"x509"`
			} `json:"authentication"`
		}
		if err := yaml.Unmarshal(data, &config); err != nil {
			return true
		}
		flags := map[string]string{}
		for name, value := range map[string]string{"tls-cert-file": config.TLSCertFile, "client-ca-file": config.Authentication.X509.ClientCAFile} {
			if value != "" {
				flags[name] = value
			}
		}
		r.facts.Components = append(r.facts.Components, trust.Component{Name: "kubelet", Machine: at.Machine, Source: at.Name, Flags: cluster.CompleteFlags(flags)})
		return true
	}
	return false
}

// place says where a file is: on which machine, and under which name there.
func (r *Reader) place(path string) trust.Place {
	at := trust.Place{Origin: trust.InFile, Name: slash(filepath.Clean(path))}
	root, rest := split(path)
	switch {
	case rest == "":
	case root == "":
		at.Machine, at.Name = r.opts.Machine, rest
	default:
		at.Machine, at.Name = filepath.Base(root), rest
	}
	return at
}

// split cuts a path into a machine's folder and the path inside the machine. The second
// is empty where the path belongs to no machine.
func split(path string) (root, rest string) {
	full := slash(absolute(path))
	for _, in := range inside {
		if i := strings.LastIndex(full+"/", in+"/"); i >= 0 {
			return full[:i], full[i:]
		}
	}
	return "", ""
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func slash(path string) string { return filepath.ToSlash(path) }

// reason drops the path from an error, which the gap names already.
func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return err.Error()
}

// follow resolves a file that is a symbolic link. In a machine's bundle an absolute link
// means a file of that machine, and not one of the machine that reads.
func follow(path string) (string, error) {
	root, _ := split(path)
	for range 20 {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 || root == "" {
			return path, err
		}
		to, err := os.Readlink(path)
		switch {
		case err != nil:
			return "", err
		case filepath.IsAbs(to):
			path = filepath.Join(root, to)
		default:
			path = filepath.Join(filepath.Dir(path), to)
		}
	}
	return "", errors.New("symbolic links that go round in circles")
}

var (
	errNotRegular = errors.New("no regular file")
	errTooLarge   = fmt.Errorf("larger than %d KiB", maxFile>>10)
)

// readFile reads a regular file of a sane size. It never waits: a FIFO is opened without
// blocking and then refused, and symbolic links that go round in circles end in an error.
func readFile(path string) ([]byte, *trust.File, error) {
	path, err := follow(path)
	if err != nil {
		return nil, nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, errNotRegular
	case info.Size() > maxFile:
		return nil, nil, errTooLarge
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, err
	case len(data) > maxFile:
		clear(data)
		return nil, nil, errTooLarge
	}
	return data, fileOf(info), nil
}
