package machine

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
)

// There can be one supervisor per process: it reaps every child.
var supervisor = sync.OnceValue(func() *Supervisor {
	return NewSupervisor(slog.New(slog.DiscardHandler))
})

// run supervises until the test is over, and returns how to read the report.
func run(t *testing.T, processes ...Process) (report func() map[string]ProcessReport, stop func()) {
	t.Helper()
	dir := t.TempDir()
	for i := range processes {
		processes[i].LogFile = filepath.Join(dir, processes[i].Name+".log")
	}
	file := filepath.Join(dir, "report.json")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		supervisor().Run(ctx, processes, file)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return func() map[string]ProcessReport {
		byName := map[string]ProcessReport{}
		data, err := os.ReadFile(file)
		if err != nil {
			return byName
		}
		var r Report
		if err := json.Unmarshal(data, &r); err != nil {
			t.Errorf("the report is no JSON at some moment: %v", err)
		}
		for _, p := range r.Processes {
			byName[p.Name] = p
		}
		return byName
	}, stop
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func shell(name, script string, after ...Condition) Process {
	return Process{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, After: after}
}

func TestWhatEndsIsStartedAgain(t *testing.T) {
	report, _ := run(t, shell("short", "echo once; exit 3"))
	eventually(t, "two restarts", func() bool { return report()["short"].Restarts >= 2 })
	if got := report()["short"].LastExit; got != "exit code 3" {
		t.Errorf("last exit %q", got)
	}
}

func TestAProcessWaitsForItsJobs(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	job := shell("job", "sleep 0.3; touch "+mark)
	job.Job = true
	report, _ := run(t, shell("after", "test -e "+mark+" && sleep 60", Condition{Job: "job"}), job)
	eventually(t, "waiting", func() bool { return report()["after"].WaitingFor == "job job" })
	eventually(t, "running", func() bool { return report()["after"].Phase == Running })
	if r := report(); r["job"].Phase != Done || r["after"].Restarts != 0 {
		t.Errorf("job %s, after was restarted %d times", r["job"].Phase, r["after"].Restarts)
	}
}

func TestAJobThatFailsIsTriedAgain(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	job := shell("job", "test -e "+mark+" || { touch "+mark+"; exit 1; }")
	job.Job = true
	report, _ := run(t, job)
	eventually(t, "done", func() bool { return report()["job"].Phase == Done })
	if got := report()["job"].Restarts; got != 1 {
		t.Errorf("%d restarts, want 1", got)
	}
}

func TestAProcessWaitsForASocket(t *testing.T) {
	socket := &probe.Probe{URL: "unix://" + filepath.Join(t.TempDir(), "s")}
	report, _ := run(t, shell("after", "sleep 60", Condition{Probe: socket}))
	eventually(t, "waiting", func() bool { return report()["after"].WaitingFor == socket.URL })
	if report()["after"].Phase != Waiting {
		t.Error("it did not wait")
	}
}

func TestStoppingStopsAll(t *testing.T) {
	polite := filepath.Join(t.TempDir(), "polite")
	report, stop := run(t,
		shell("polite", "trap 'touch "+polite+"; exit 0' TERM; while :; do sleep 0.05; done"),
		shell("plain", "exec sleep 60"))
	eventually(t, "both running", func() bool {
		r := report()
		return r["polite"].Phase == Running && r["plain"].Phase == Running
	})
	time.Sleep(200 * time.Millisecond) // for the trap to be set
	pid := report()["plain"].PID
	stop()
	if _, err := os.Stat(polite); err != nil {
		t.Errorf("the polite one was not asked: %v", err)
	}
	if _, err := os.Stat("/proc/" + itoa(pid)); err == nil {
		t.Errorf("process %d is still there", pid)
	}
}

func itoa(n int) string {
	data, _ := json.Marshal(n)
	return string(data)
}

// Children of children whose parent has gone come to the first process of a
// namespace; here they only must not confuse the others.
func TestManyShortLivesAreAllBuried(t *testing.T) {
	var all []Process
	for i := range 20 {
		job := shell("job"+itoa(i), "for i in 1 2 3; do sleep 0.01 & done; wait")
		job.Job = true
		all = append(all, job)
	}
	report, _ := run(t, all...)
	eventually(t, "all done", func() bool {
		for _, r := range report() {
			if r.Phase != Done {
				return false
			}
		}
		return len(report()) == len(all)
	})
}

func TestAProgramThatIsNotThere(t *testing.T) {
	report, _ := run(t, Process{Name: "ghost", Path: "/no/such/program"})
	eventually(t, "the reason", func() bool { return strings.Contains(report()["ghost"].LastExit, "no such file") })
}
