//go:build unix

package pki

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// crashEnv makes the test binary die at that point of an init.
const crashEnv = "PKI_TEST_CRASH"

func TestCrashChild(t *testing.T) {
	spec := os.Getenv(crashEnv)
	if spec == "" {
		t.Skip("only what the next test starts")
	}
	verb, rest, _ := strings.Cut(spec, ":")
	at, dir, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	step := func() {
		if count.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if verb == "init" {
		_, err = Init(dir, InitOptions{Config: mustParse(t, smallCluster), Now: now, step: step})
	} else {
		_, err = Renew(dir, RenewOptions{All: true, Now: now.Add(time.Hour), step: step})
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("finished")
}

// A process that is killed at any point leaves something that the next run
// completes, without stray files, with keys that fit.
func TestKilledAnywhereTheNextRunCompletes(t *testing.T) {
	points := []int{1, 2, 3, 4, 10, 20, 35, 55, 63, 64, 65}
	if testing.Short() {
		points = []int{1, 3, 20}
	}
	crash := func(t *testing.T, verb string, n int, dir string) bool {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d:%s", crashEnv, verb, n, dir))
		out, err := cmd.CombinedOutput()
		if err == nil && !bytes.Contains(out, []byte("finished")) {
			t.Fatalf("the child did nothing: %s", out)
		}
		return err != nil
	}
	config := mustParse(t, smallCluster)
	whole := t.TempDir()
	mustInit(t, whole, InitOptions{Config: config})
	want := slices.Sorted(maps.Keys(tree(t, whole)))
	check := func(t *testing.T, dir string) {
		t.Helper()
		files := tree(t, dir)
		maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, backupFolder) })
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		r := mustInit(t, dir, InitOptions{Config: config})
		if len(r.Made)+len(r.Differs) > 0 {
			t.Errorf("afterwards made %v, differs %v", r.Made, r.Differs)
		}
	}
	died := 0
	for _, n := range points {
		t.Run(fmt.Sprintf("init at %d", n), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pki")
			if crash(t, "init", n, dir) {
				died++
			}
			mustInit(t, dir, InitOptions{Config: config})
			check(t, dir)
		})
		t.Run(fmt.Sprintf("renew at %d", n), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pki")
			mustInit(t, dir, InitOptions{Config: config})
			if crash(t, "renew", n, dir) {
				died++
			}
			if _, err := Renew(dir, RenewOptions{Names: []string{"apiserver"}, Now: now.Add(2 * time.Hour)}); err != nil {
				t.Fatal(err)
			}
			check(t, dir)
		})
	}
	if died < len(points) {
		t.Errorf("only %d of %d children were killed", died, 2*len(points))
	}
}

// A thousand nodes' identities: kubelet client, kubelet serving, kube-proxy.
// Where others use the processors too, it is the time on them that counts.
func TestAThousandNodesInTwoSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("a measurement")
	}
	limit := 2 * time.Second
	if raceEnabled {
		limit *= 5 // the detector makes the same work three times as long
	}
	items, authority, issuer := thousandNodes(t)
	busy := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began, before := time.Now(), busy()
	if err := parallel(len(items), 0, func(i int) error {
		_, err := issuer.Issue(authority, items[i].Leaf)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	took, worked := time.Since(began), busy()-before
	t.Logf("%d certificates in %s, %s on the processors", len(items), took, worked)
	if min(took, worked) > limit {
		t.Errorf("took %s, want less than %s", took, limit)
	}
}

// A power cut may leave a new file without its content: it is ours, and is
// completed. Somebody else's file is not.
func TestCutOffFilesAreCompleted(t *testing.T) {
	for old, want := range map[string]bool{"": true, "con": true, "other": false} {
		dir := t.TempDir()
		j := &journal{Time: now}
		j.add("a", []byte("content"), 0o600, false)
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		err := j.commit(dir)
		data, _ := os.ReadFile(filepath.Join(dir, "a"))
		if (err == nil) != want || (string(data) == "content") != want {
			t.Errorf("found %q: %v, now %q", old, err, data)
		}
	}
}
