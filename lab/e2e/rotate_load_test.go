//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	loadNamespace = "e2e-load"
	loadClients   = 10
	loadRate      = 200 // requests per second, all clients together
	loadWatches   = 4
)

// Traffic is clients that read, write, watch and hold an exec session, through
// the balancer, until it is stopped. A client tries everything once: whatever
// does not succeed the first time is counted. All it does like a careful
// program is read its kubeconfig again when that has changed.
type traffic struct {
	c      *cluster
	stop   context.CancelFunc
	done   sync.WaitGroup
	client atomic.Pointer[[]*kubernetes.Clientset]

	requests, reads, writes atomic.Int64
	slowest                 atomic.Int64 // nanoseconds
	resumed, relisted       atomic.Int64
	cut, sessions           atomic.Int64

	mu       sync.Mutex
	failures []failure
	acked    map[string]bool // objects whose creation was acknowledged
	unsure   map[string]bool // whose creation failed: they may be there or not
	counters map[string]int  // acknowledged increments by object
	seen     []map[string]int
}

type failure struct {
	at   time.Time
	what string
}

// startTraffic begins, and returns when all clients run.
func startTraffic(t *testing.T, c *cluster, exec bool) *traffic {
	t.Helper()
	l := &traffic{c: c, acked: map[string]bool{}, unsure: map[string]bool{}, counters: map[string]int{}}
	c.must(t, "create", "namespace", loadNamespace)
	if exec {
		c.apply(t, probe(loadNamespace, "session", "", "sleep"), "apply", "-f", "-")
		c.must(t, "-n", loadNamespace, "wait", "--for=condition=Ready", "pod/session", "--timeout=60s")
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	if err := l.connect(); err != nil {
		t.Fatal(err)
	}
	for n := range loadClients {
		name := fmt.Sprintf("counter-%d", n)
		if _, err := l.at(n).CoreV1().ConfigMaps(loadNamespace).Create(ctx, configMap(name, "0"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		l.counters[name] = 0
		l.done.Go(func() { l.work(ctx, n) })
	}
	start := c.must(t, "-n", loadNamespace, "get", "configmaps", "-l", "load=yes", "-o", "jsonpath={.metadata.resourceVersion}")
	for n := range loadWatches {
		l.seen = append(l.seen, map[string]int{})
		l.done.Go(func() { l.watch(ctx, n, start) })
	}
	l.done.Go(func() { l.reread(ctx) })
	if exec {
		l.done.Go(func() { l.session(ctx) })
	}
	return l
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: loadNamespace, Labels: map[string]string{"load": "yes"}},
		Data:       map[string]string{"value": value},
	}
}

// connect makes a client for each worker, with a connection of its own.
func (l *traffic) connect() error {
	var all []*kubernetes.Clientset
	for range loadClients {
		config, err := clientcmd.BuildConfigFromFlags("", l.c.kubeconfig)
		if err != nil {
			return err
		}
		config.QPS, config.Timeout = -1, 0
		// A dialer of its own keeps client-go from sharing the connection.
		config.Dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return once{next} })
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		all = append(all, client)
	}
	l.client.Store(&all)
	return nil
}

// once takes from an answer what client-go would try again for.
type once struct{ next http.RoundTripper }

func (o once) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := o.next.RoundTrip(req)
	if res != nil {
		res.Header.Del("Retry-After")
	}
	if err != nil {
		// Wrapped beyond recognition: client-go repeats reads whose connection broke.
		err = errors.New(err.Error())
	}
	return res, err
}

func (l *traffic) at(n int) *kubernetes.Clientset { return (*l.client.Load())[n%loadClients] }

// reread takes a changed kubeconfig, as a rotation's announcement asks.
func (l *traffic) reread(ctx context.Context) {
	before, _ := os.ReadFile(l.c.kubeconfig)
	for ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		if now, err := os.ReadFile(l.c.kubeconfig); err == nil && !bytes.Equal(now, before) {
			if err := l.connect(); err != nil {
				l.fail("reading the kubeconfig: %v", err)
			}
			before = now
		}
	}
}

func (l *traffic) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, failure{time.Now(), fmt.Sprintf(format, args...)})
}

// work is one client: half reads, half writes, at its share of the rate.
func (l *traffic) work(ctx context.Context, n int) {
	tick := time.NewTicker(time.Second * loadClients / loadRate)
	defer tick.Stop()
	counter := fmt.Sprintf("counter-%d", n)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		maps := l.at(n).CoreV1().ConfigMaps(loadNamespace)
		began := time.Now()
		var err error
		// Not the load's context: what has begun is finished.
		ask, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		switch what := i % 4; what {
		case 0:
			name := fmt.Sprintf("o-%d-%d", n, i)
			_, err = maps.Create(ask, configMap(name, strconv.Itoa(i)), metav1.CreateOptions{})
			l.mu.Lock()
			if err == nil {
				l.acked[name] = true
			} else {
				l.unsure[name] = true
			}
			l.mu.Unlock()
			l.writes.Add(1)
		case 1:
			_, err = maps.Get(ask, counter, metav1.GetOptions{})
			l.reads.Add(1)
		case 2:
			err = l.increment(ask, n, counter)
		case 3:
			_, err = maps.List(ask, metav1.ListOptions{Limit: 10, ResourceVersion: "0"})
			l.reads.Add(1)
		}
		cancel()
		l.requests.Add(1)
		if took := int64(time.Since(began)); took > l.slowest.Load() {
			l.slowest.Store(took)
		}
		if err != nil {
			l.fail("client %d, %s: %v", n, []string{"create", "get", "update", "list"}[i%4], err)
		}
	}
}

// increment reads and writes back with the version read, so that doing it
// twice, or over another's write, is refused.
func (l *traffic) increment(ctx context.Context, n int, name string) error {
	maps := l.at(n).CoreV1().ConfigMaps(loadNamespace)
	m, err := maps.Get(ctx, name, metav1.GetOptions{})
	l.reads.Add(1)
	l.requests.Add(1)
	if err != nil {
		return err
	}
	v, err := strconv.Atoi(m.Data["value"])
	if err != nil {
		return err
	}
	m.Data["value"] = strconv.Itoa(v + 1)
	_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	l.writes.Add(1)
	if err == nil {
		l.mu.Lock()
		l.counters[name]++
		l.mu.Unlock()
	}
	return err
}

// watch follows all objects from one version on. That a server ends a watch is
// part of the protocol; then it goes on from the last version, and an object
// that is missed or seen twice is a failure.
func (l *traffic) watch(ctx context.Context, n int, from string) {
	for first := true; ctx.Err() == nil; first = false {
		w, err := l.at(n).CoreV1().ConfigMaps(loadNamespace).Watch(ctx, metav1.ListOptions{
			LabelSelector: "load=yes", ResourceVersion: from, AllowWatchBookmarks: true,
		})
		if ctx.Err() != nil {
			return
		}
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			from = l.relist(ctx, n, from)
			continue
		}
		if err != nil {
			l.fail("watch %d: %v", n, err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if !first {
			l.resumed.Add(1)
		}
		for event := range w.ResultChan() {
			if event.Type == watch.Error {
				err := apierrors.FromObject(event.Object)
				if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
					from = l.relist(ctx, n, from)
				} else if !strings.Contains(err.Error(), "GOAWAY") && !strings.Contains(err.Error(), "unable to decode") {
					l.fail("watch %d: %v", n, err)
				}
				break
			}
			m := event.Object.(*corev1.ConfigMap)
			from = m.ResourceVersion
			if event.Type == watch.Added {
				l.mu.Lock()
				l.seen[n][m.Name]++
				l.mu.Unlock()
			}
		}
		w.Stop()
	}
}

// relist begins anew with all there is, where an apiserver no longer knows the
// version that a watch had come to.
func (l *traffic) relist(ctx context.Context, n int, from string) string {
	list, err := l.at(n).CoreV1().ConfigMaps(loadNamespace).List(ctx, metav1.ListOptions{LabelSelector: "load=yes"})
	if err != nil {
		l.fail("watch %d, listing: %v", n, err)
		time.Sleep(100 * time.Millisecond)
		return from
	}
	l.relisted.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range list.Items {
		l.seen[n][m.Name] = 1
	}
	return list.ResourceVersion
}

// session holds an exec session, and another one when it was cut: it goes
// through one apiserver and one kubelet, and ends with the first that is
// restarted. Beginning one may not fail while another apiserver is there.
func (l *traffic) session(ctx context.Context) {
	for ctx.Err() == nil {
		l.sessions.Add(1)
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "lab", "kubectl"), "-n", loadNamespace, "exec", "session", "--", "/probe", "sleep")
		cmd.Env = append(os.Environ(), "KUBECONFIG="+l.c.kubeconfig)
		_ = cmd.Run()
		if ctx.Err() == nil {
			l.cut.Add(1)
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// finish stops the load, and checks that every write that was acknowledged is
// there, once, and was seen by every watch, once.
func (l *traffic) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	list, err := l.at(0).CoreV1().ConfigMaps(loadNamespace).List(context.Background(), metav1.ListOptions{LabelSelector: "load=yes"})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, m := range list.Items {
		there[m.Name] = m.Data["value"]
	}
	lost := 0
	for name := range l.acked {
		if _, ok := there[name]; !ok {
			lost++
			t.Errorf("%s was acknowledged and is not there", name)
		}
	}
	for name, want := range l.counters {
		got, err := strconv.Atoi(there[name])
		// A write that failed for its client may have been done.
		if err != nil || got < want || got > want+len(l.failures) {
			t.Errorf("%s is %s after %d acknowledged increments", name, there[name], want)
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "o-") && !l.acked[name] && !l.unsure[name] {
			t.Errorf("%s is there and nobody wrote it", name)
		}
	}
	for n, seen := range l.seen {
		missed := 0
		for name := range l.acked {
			if seen[name] == 0 {
				missed++
			}
			if seen[name] > 1 {
				t.Errorf("watch %d saw %s %d times", n, name, seen[name])
			}
		}
		// Those of the last moment may be on their way still.
		if missed > loadClients {
			t.Errorf("watch %d missed %d of %d objects", n, missed, len(l.acked))
		}
	}
	t.Logf("load: %d requests (%d reads, %d writes), %d failed, slowest %s; %d writes acknowledged, %d lost; watches resumed %d times and begun anew %d times; exec sessions %d, cut %d",
		l.requests.Load(), l.reads.Load(), l.writes.Load(), len(l.failures), time.Duration(l.slowest.Load()).Round(time.Millisecond),
		len(l.acked), lost, l.resumed.Load(), l.relisted.Load(), l.sessions.Load(), l.cut.Load())
}

// failed takes the failures so far.
func (l *traffic) failed() []failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failures)
}
