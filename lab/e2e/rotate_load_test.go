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
	loadRate      = 200 // requests per second, all together
	loadWorkers   = 40  // who make them; each has one request under way
	loadClients   = 10  // connections, which the workers share
	loadWatches   = 4
	// loadBacklog is how many requests may wait for a worker: those of the
	// longest that a rotation holds everybody, and more. What is beyond is not
	// made, and counted: the machine is too slow for the rate.
	loadBacklog = 10 * loadRate
	// loadKeeps is how many objects a worker has before it deletes its oldest.
	loadKeeps = 25
)

// Traffic is clients that read, write, watch and hold an exec session, through
// the balancer, until it is stopped. Requests are asked for at a fixed rate,
// whether or not earlier ones were answered: what a rotation delays comes on top
// of what follows. A client tries everything once: whatever does not succeed the
// first time is counted. All it does like a careful program is read its
// kubeconfig again when that has changed, and an object that somebody else has
// written.
type traffic struct {
	c       *cluster
	stop    context.CancelFunc // asks for nothing more
	leave   context.CancelFunc // ends watches and the session
	working sync.WaitGroup
	done    sync.WaitGroup
	client  atomic.Pointer[[]*kubernetes.Clientset]
	began   time.Time
	asked   chan time.Time // when each request was wanted

	requests, reads, writes atomic.Int64
	conflicts, unmade       atomic.Int64
	slowest                 atomic.Int64 // nanoseconds, from when it was wanted
	resumed, relisted       atomic.Int64
	cut, sessions           atomic.Int64

	mu        sync.Mutex
	failures  []failure
	acked     map[string]bool // objects whose creation was acknowledged, and that were not deleted
	gone      map[string]bool // whose deletion was acknowledged
	unsure    map[string]bool // whose creation or deletion failed: they may be there or not
	creations int
	counters  map[string]int // acknowledged increments by object
	seen      []map[string]int
}

type failure struct {
	at   time.Time
	what string
}

// startTraffic begins, and returns when all clients run.
func startTraffic(t *testing.T, c *cluster, exec bool) *traffic {
	t.Helper()
	l := &traffic{c: c, acked: map[string]bool{}, gone: map[string]bool{}, unsure: map[string]bool{}, counters: map[string]int{}}
	c.must(t, "create", "namespace", loadNamespace)
	if exec {
		c.apply(t, probe(loadNamespace, "session", "", "sleep"), "apply", "-f", "-")
		c.must(t, "-n", loadNamespace, "wait", "--for=condition=Ready", "pod/session", "--timeout=60s")
	}
	ctx, leave := context.WithCancel(context.Background())
	asking, stop := context.WithCancel(ctx)
	l.stop, l.leave = stop, leave
	t.Cleanup(leave)
	if err := l.connect(); err != nil {
		t.Fatal(err)
	}
	var counters []*corev1.ConfigMap
	for n := range loadWorkers {
		counter, err := l.at(n).CoreV1().ConfigMaps(loadNamespace).Create(ctx, configMap(fmt.Sprintf("counter-%d", n), "0"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		counters = append(counters, counter)
		l.counters[counter.Name] = 0
	}
	start := c.must(t, "-n", loadNamespace, "get", "configmaps", "-l", "load=yes", "-o", "jsonpath={.metadata.resourceVersion}")
	l.began, l.asked = time.Now(), make(chan time.Time, loadBacklog)
	l.working.Go(func() { l.ask(asking) })
	for n, counter := range counters {
		l.working.Go(func() { l.work(n, counter) })
	}
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

// ask wants requests, at the rate.
func (l *traffic) ask(ctx context.Context) {
	defer close(l.asked)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for wanted := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for ; wanted < int(now.Sub(l.began).Seconds()*loadRate); wanted++ {
				select {
				case l.asked <- now:
				default:
					l.unmade.Add(1)
				}
			}
		}
	}
}

// work makes the requests that are wanted, half of them writes. Not
// with the load's context: what is wanted is finished.
func (l *traffic) work(n int, counter *corev1.ConfigMap) {
	var kept []string
	for i := 0; ; i++ {
		wanted, ok := <-l.asked
		if !ok {
			return
		}
		maps := l.at(n).CoreV1().ConfigMaps(loadNamespace)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		var err error
		var what string
		switch {
		case len(kept) > loadKeeps:
			what = "delete"
			err = maps.Delete(ctx, kept[0], metav1.DeleteOptions{})
			l.deleted(kept[0], err)
			kept = kept[1:]
			l.writes.Add(1)
		case i%4 == 0:
			what = "create"
			name := fmt.Sprintf("o-%d-%d", n, i)
			_, err = maps.Create(ctx, configMap(name, strconv.Itoa(i)), metav1.CreateOptions{})
			if l.created(name, err); err == nil {
				kept = append(kept, name)
			}
			l.writes.Add(1)
		case i%4 == 1:
			what = "get"
			_, err = maps.Get(ctx, counter.Name, metav1.GetOptions{})
			l.reads.Add(1)
		case i%4 == 2:
			what = "update"
			counter, err = l.increment(ctx, n, counter)
		default:
			what = "list"
			_, err = maps.List(ctx, metav1.ListOptions{Limit: 10})
			l.reads.Add(1)
		}
		cancel()
		l.requests.Add(1)
		if took := int64(time.Since(wanted)); took > l.slowest.Load() {
			l.slowest.Store(took)
		}
		if err != nil {
			l.fail("worker %d, %s: %v", n, what, err)
		}
	}
}

// created notes an object that is there from now on, or may be.
func (l *traffic) created(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.unsure[name] = true
		return
	}
	l.acked[name] = true
	l.creations++
}

// deleted notes an object that is no longer there, or may be.
func (l *traffic) deleted(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.acked, name)
	if err != nil {
		l.unsure[name] = true
		return
	}
	l.gone[name] = true
}

// increment writes one more with the version last seen, so that doing it twice,
// or over another's write, is refused. Where somebody else has written it, as one
// who changes the key under which it is stored does, it is read again.
func (l *traffic) increment(ctx context.Context, n int, counter *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	maps := l.at(n).CoreV1().ConfigMaps(loadNamespace)
	read := func() (*corev1.ConfigMap, error) {
		l.reads.Add(1)
		l.requests.Add(1)
		return maps.Get(ctx, counter.Name, metav1.GetOptions{})
	}
	unknown := configMap(counter.Name, "")
	if counter.ResourceVersion == "" {
		now, err := read()
		if err != nil {
			return unknown, err
		}
		counter = now
	}
	before := counter.Data["value"]
	v, err := strconv.Atoi(before)
	if err != nil {
		return unknown, err
	}
	next := counter.DeepCopy()
	next.Data["value"] = strconv.Itoa(v + 1)
	written, err := maps.Update(ctx, next, metav1.UpdateOptions{})
	l.writes.Add(1)
	switch {
	case apierrors.IsConflict(err):
		l.conflicts.Add(1)
		now, readErr := read()
		if readErr != nil {
			return unknown, readErr
		}
		if now.Data["value"] != before {
			return now, fmt.Errorf("%s is %s, and was last written as %s: %w", counter.Name, now.Data["value"], before, err)
		}
		return now, nil
	case err != nil:
		return unknown, err // it may have been written
	}
	l.mu.Lock()
	l.counters[counter.Name]++
	l.mu.Unlock()
	return written, nil
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
	l.working.Wait()
	began := time.Now()
	for l.behind() > 0 && time.Since(began) < 10*time.Second {
		time.Sleep(20 * time.Millisecond)
	}
	l.leave()
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
		switch {
		case l.gone[name]:
			t.Errorf("%s is there and its deletion was acknowledged", name)
		case strings.HasPrefix(name, "o-") && !l.acked[name] && !l.unsure[name]:
			t.Errorf("%s is there and nobody wrote it", name)
		}
	}
	for n, seen := range l.seen {
		missed := 0
		for name := range l.acked {
			if seen[name] == 0 {
				missed++
			}
		}
		for name, times := range seen {
			if times > 1 {
				t.Errorf("watch %d saw %s %d times", n, name, times)
			}
		}
		if missed > 0 {
			t.Errorf("watch %d missed %d of %d objects", n, missed, len(l.acked))
		}
	}
	if n := l.unmade.Load(); n > 0 {
		t.Logf("this machine was too slow for %d requests a second: %d were not made", loadRate, n)
	}
	t.Logf("load: %d requests (%d reads, %d writes), %.0f a second, %d failed, %d conflicts, slowest %s; %d creations acknowledged, %d lost; watches resumed %d times and begun anew %d times; exec sessions %d, cut %d",
		l.requests.Load(), l.reads.Load(), l.writes.Load(), l.rate(), len(l.failures), l.conflicts.Load(), time.Duration(l.slowest.Load()).Round(time.Millisecond),
		l.creations, lost, l.resumed.Load(), l.relisted.Load(), l.sessions.Load(), l.cut.Load())
}

// behind is how many objects watches have still to see, the last of them.
func (l *traffic) behind() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := 0
	for _, seen := range l.seen {
		missing := 0
		for name := range l.acked {
			if seen[name] == 0 {
				missing++
			}
		}
		most = max(most, missing)
	}
	return most
}

// rate is how many requests were answered in a second.
func (l *traffic) rate() float64 {
	return float64(l.requests.Load()) / time.Since(l.began).Seconds()
}

// failed takes the failures so far.
func (l *traffic) failed() []failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failures)
}
