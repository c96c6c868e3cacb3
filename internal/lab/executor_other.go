//go:build !linux

package lab

import (
	"context"

	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// Rotation is a cluster whose keys are being replaced, on Linux.
type Rotation struct {
	rotate.Store

	MidWrite func()
}

// OpenRotation takes a running cluster, on Linux.
func OpenRotation(context.Context, string, string, Environment) (*Rotation, error) {
	return nil, errNotLinux
}

// Close gives the cluster back.
func (*Rotation) Close() error { return nil }

// Check says why a kind of rotation makes no sense here.
func (*Rotation) Check(rotate.Kind) error { return errNotLinux }

// Inventory reads every file that could hold a certificate or a key.
func (*Rotation) Inventory() (rotate.Inventory, error) { return rotate.Inventory{}, errNotLinux }

// Do carries out a step.
func (*Rotation) Do(context.Context, rotate.Step, func(rotate.Digest) ([]byte, error)) error {
	return errNotLinux
}
