package store_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
)

// buildForever names the folder in which this program, started again, builds a database
// over and over until it is killed.
const buildForever = "BULWARK_TEST_BUILD_FOREVER"

func TestMain(m *testing.M) {
	dir := os.Getenv(buildForever)
	if dir == "" {
		os.Exit(m.Run())
	}
	inputs, err := store.OSVInputs(filepath.Join(dir, "bucket"))
	if err != nil {
		panic(err)
	}
	for i := 1; ; i++ {
		o := store.Options{Now: now.Add(time.Duration(i) * time.Minute), AllowOlder: true}
		if _, err := store.Build(context.Background(), filepath.Join(dir, "db"), inputs, o); err != nil {
			panic(err)
		}
	}
}

func TestAProcessThatIsKilledLeavesADatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.Rename(bucket(t), filepath.Join(dir, "bucket")); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "db")
	build(t, db, store.Options{})
	for range 6 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), buildForever+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Until it has begun to change something, and then some.
		before := set(t, db)
		for deadline := time.Now().Add(30 * time.Second); set(t, db) == before && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(40_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if _, missing, err := store.Verify(t.Context(), db, nil); err != nil || len(missing) > 0 {
			t.Fatalf("after it was killed: %v, missing %v", err, missing)
		}
	}
	// The lock of the dead is no lock, and what they left is cleaned up.
	build(t, db, store.Options{AllowOlder: true})
	if n := count(t, filepath.Join(db, "sets")); n > 2 {
		t.Errorf("%d sets are left", n)
	}
}
