package image_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestFunctionsTravel(t *testing.T) {
	f := image.NewFunctions(func(yield func(pkg, name string) bool) {
		for i := range 20_000 {
			if !yield("example.org/p", fmt.Sprint("F", i)) {
				return
			}
		}
	})
	text, err := f.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if per := float64(len(text)) / 20_000; per > 5 {
		t.Errorf("%.1f bytes a function, want at most 5", per)
	}
	var back image.Functions
	if err := back.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i := range 40_000 {
		has := back.Has("example.org/p", fmt.Sprint("F", i))
		if i < 20_000 && !has {
			t.Fatalf("F%d is missing", i)
		}
		if i >= 20_000 && has {
			wrong++
		}
	}
	if wrong > 5 {
		t.Errorf("%d of 20,000 strangers are taken for members", wrong)
	}
}

// FuzzFunctions: what is read back is written the same again.
func FuzzFunctions(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("AQID"))
	f.Add([]byte("////////DwE"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s image.Functions
		if s.UnmarshalText(text) != nil {
			return
		}
		once, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again image.Functions
		if err := again.UnmarshalText(once); err != nil {
			t.Fatalf("%q became %q: %v", text, once, err)
		}
		twice, err := again.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, twice) {
			t.Errorf("%q became %q", once, twice)
		}
	})
}
