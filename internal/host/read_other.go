//go:build !linux

package host

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func read(context.Context, Options) (*Facts, error) {
	return nil, fmt.Errorf("reading a machine's processes and files on %s: %w; it works on Linux", runtime.GOOS, errors.ErrUnsupported)
}
