//go:build !linux

package lab

import (
	"context"
	"errors"
	"log/slog"
)

// errNotLinux is all there is to say elsewhere: namespaces and control groups
// are Linux's, and so are the components.
var errNotLinux = withHint(errors.New("the lab needs Linux"), "run it in a Linux virtual machine")

// Up starts a cluster, on Linux.
func Up(context.Context, Options, Environment, Progress) (*Cluster, error) { return nil, errNotLinux }

// Down removes a cluster, on Linux.
func Down(context.Context, string, string, Environment) error { return errNotLinux }

// Names lists the clusters, on Linux.
func Names(string, Environment) ([]string, error) { return nil, errNotLinux }

// Inspect asks a cluster how it is, on Linux.
func Inspect(context.Context, string, string, Environment) (*Status, error) { return nil, errNotLinux }

// Enter runs a command inside a machine, on Linux.
func Enter(context.Context, Command, Environment) error { return errNotLinux }

// Open gives access to a cluster, on Linux.
func Open(string, string, bool, Environment) (*Access, error) { return nil, errNotLinux }

// Close gives everything back, on Linux.
func (a *Access) Close() error { return nil }

// RunOwner is the owner's life, on Linux.
func RunOwner(context.Context, string, Environment, *slog.Logger) error { return errNotLinux }

// RunMachine is the life of a machine's first process, on Linux.
func RunMachine(context.Context, *slog.Logger) error { return errNotLinux }
