//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/lab/internal/objects"
)

// benchOnly skips a measurement of minutes unless `make bench` asks for it.
func benchOnly(t *testing.T) {
	if os.Getenv("BULWARK_BENCH") == "" {
		t.Skip("takes minutes: make bench runs it")
	}
}

// TestNumbersOfFiles holds the scan of many files against merely parsing them, in
// processor time: the wall's depends on what else the machine does.
func TestNumbersOfFiles(t *testing.T) {
	benchOnly(t)
	var took []time.Duration
	for _, of := range []struct {
		objects, memory int
		ratio           float64
	}{{10_000, 150, 1.5}, {50_000, 1000, 1.5}, {100_000, 1000, 1.5}} {
		dir := t.TempDir()
		if err := objects.Write(dir, of.objects); err != nil {
			t.Fatal(err)
		}
		var rss int64
		scan := best(3, func() time.Duration {
			cpu, most := scanOnce(t, "json", dir)
			rss = max(rss, most)
			return cpu
		})
		parse := best(3, func() time.Duration { return parseFiles(t, dir) })
		ratio := float64(scan) / float64(parse)
		t.Logf("%d objects in files: parse only %v, scan %v, ratio %.2f (limit %.1f), %d MB (limit %d)", of.objects, parse, scan, ratio, of.ratio, rss/1e6, of.memory)
		if ratio > of.ratio {
			t.Errorf("%d objects: the scan takes %.2f times as long as parsing, want at most %.1f", of.objects, ratio, of.ratio)
		}
		if rss > int64(of.memory)*1e6 {
			t.Errorf("%d objects: %d MB, want at most %d", of.objects, rss/1e6, of.memory)
		}
		took = append(took, scan)
	}
	if growth := float64(took[2]) / float64(took[1]); growth > 2.1*1.2 {
		t.Errorf("twice the objects take %.2f times as long, want at most 2.1", growth)
	} else {
		t.Logf("twice the objects take %.2f times as long (limit 2.1)", growth)
	}
}

// scanOnce returns the processor time and the memory of a scan whose report goes to a
// file. Linux counts a parent's memory as its child's, so this process must stay small.
func scanOnce(t *testing.T, format string, args ...string) (cpu time.Duration, rss int64) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "report"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errs strings.Builder
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "bulwark"), append([]string{"scan", "-o", format, "--fail-on", "none"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, &errs
	// 4: a cluster without its machines is not all there.
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 4 {
		t.Fatalf("scan: %v\n%s", err, errs.String())
	}
	least := map[string]int64{"json": 1e6, "table": 1e3}[format] // thousands of findings, or their sum
	if info, err := out.Stat(); err != nil || info.Size() < least {
		t.Fatalf("scan: a report of %d bytes, want %d at least", info.Size(), least)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), maxRSS(cmd.ProcessState)
}

func best(n int, measure func() time.Duration) time.Duration {
	least := measure()
	for range n - 1 {
		least = min(least, measure())
	}
	return least
}

// parseFiles parses every document into its type, as kubectl does, and returns the
// processor time of it.
func parseFiles(t *testing.T, dir string) time.Duration {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before := cpu(t)
	parsed := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(data), "---\n") {
			if doc == "" {
				continue
			}
			text, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(text, nil, nil); err != nil {
				t.Fatal(err)
			}
			parsed++
		}
	}
	if parsed == 0 {
		t.Fatal("no objects")
	}
	return cpu(t) - before
}

// cpu is the processor time of this process until now.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestNumbersOfACluster holds the scan of 50,000 live objects against merely listing
// them with client-go, in protobuf.
func TestNumbersOfACluster(t *testing.T) {
	benchOnly(t)
	const n, name = 50_000, "e2e-many"
	if r := bulwark(t, "up", "--name", name, "--nodes", "0", "--state-dir", stateDir); r.code != 0 {
		t.Fatalf("up: %s", r.all())
	}
	t.Cleanup(func() { bulwark(t, "down", "--name", name, "--state-dir", stateDir) })
	kubeconfig := filepath.Join(stateDir, name, "kubeconfig")
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := objects.Create(t.Context(), config, n); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects created in %v", n, time.Since(started).Round(time.Second))
	slack := 2.0 // as for TestNumbers
	if os.Getenv("BULWARK_IDLE") != "" {
		slack = 1
	}
	// One after the other, so that all meet the same machine.
	type took struct{ wall, cpu time.Duration }
	least := func(a, b took) took {
		if a.wall == 0 {
			return b
		}
		return took{min(a.wall, b.wall), min(a.cpu, b.cpu)}
	}
	var list, inTurn took
	scans, memory := map[string]took{}, map[string]int64{}
	formats := []string{"table", "json"}
	for range 5 {
		started, before := time.Now(), cpu(t)
		if got := listAll(t, config, true); got < n {
			t.Fatalf("listed %d objects, want %d at least", got, n)
		}
		list = least(list, took{time.Since(started), cpu(t) - before})
		started, before = time.Now(), cpu(t)
		listAll(t, config, false)
		inTurn = least(inTurn, took{time.Since(started), cpu(t) - before})
		for _, format := range formats {
			started = time.Now()
			used, most := scanOnce(t, format, "--kubeconfig", kubeconfig)
			scans[format] = least(scans[format], took{time.Since(started), used})
			memory[format] = max(memory[format], most)
		}
	}
	t.Logf("%d live objects: list only, all kinds at once %v (%v of processor time), one kind after the other %v (%v)", n, list.wall, list.cpu, inTurn.wall, inTurn.cpu)
	for _, format := range formats {
		wall, work := float64(scans[format].wall)/float64(inTurn.wall), float64(scans[format].cpu)/float64(inTurn.cpu)
		t.Logf("scan to a %s: %v (%v), %.2f times as long as listing (limit 1.3; %.2f times as long as all kinds at once), %.2f times the work (limit 2.6), %d MB (limit 400)",
			format, scans[format].wall, scans[format].cpu, wall, float64(scans[format].wall)/float64(list.wall), work, memory[format]/1e6)
		if wall > 1.3*slack {
			t.Errorf("the scan to a %s takes %.2f times as long as listing, want at most 1.3", format, wall)
		}
		// Processor time hardly depends on what else the machine does.
		if work > 2.6 {
			t.Errorf("the scan to a %s takes %.2f times the processor time of listing, want at most 2.6", format, work)
		}
		if memory[format] > 400e6 {
			t.Errorf("the scan to a %s took %d MB, want at most 400", format, memory[format]/1e6)
		}
	}
}

// listAll lists what objects.Create made, in pages of client-go's usual size, the kinds at
// once or one after the other, and returns how many there are.
func listAll(t *testing.T, config *rest.Config, atOnce bool) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for _, kind := range []struct {
		gv   schema.GroupVersion
		name string
		list func() runtime.Object
	}{
		{corev1.SchemeGroupVersion, "pods", func() runtime.Object { return new(corev1.PodList) }},
		{corev1.SchemeGroupVersion, "configmaps", func() runtime.Object { return new(corev1.ConfigMapList) }},
		{corev1.SchemeGroupVersion, "serviceaccounts", func() runtime.Object { return new(corev1.ServiceAccountList) }},
		{rbacv1.SchemeGroupVersion, "roles", func() runtime.Object { return new(rbacv1.RoleList) }},
		{rbacv1.SchemeGroupVersion, "rolebindings", func() runtime.Object { return new(rbacv1.RoleBindingList) }},
	} {
		wg.Go(func() {
			n, err := listKind(t, config, kind.gv, kind.name, kind.list)
			if err != nil {
				t.Errorf("%s: %v", kind.name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
		})
		if !atOnce {
			wg.Wait()
		}
	}
	wg.Wait()
	return total
}

func listKind(t *testing.T, config *rest.Config, gv schema.GroupVersion, name string, newList func() runtime.Object) (int, error) {
	c := rest.CopyConfig(config)
	c.QPS, c.GroupVersion, c.APIPath = -1, &gv, "/apis"
	if gv.Group == "" {
		c.APIPath = "/api"
	}
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return 0, err
	}
	n := 0
	for opts := (metav1.ListOptions{Limit: 500}); ; {
		list := newList()
		if err := client.Get().Resource(name).VersionedParams(&opts, scheme.ParameterCodec).Do(t.Context()).Into(list); err != nil {
			return n, err
		}
		page, err := meta.ListAccessor(list)
		if err != nil {
			return n, err
		}
		n += meta.LenList(list)
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return n, nil
		}
	}
}
