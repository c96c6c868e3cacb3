package lab

import (
	"fmt"
	"io"
)

// Command is something to run inside a machine.
type Command struct {
	Cluster, StateDir, Machine string
	// Args are the command and its arguments; empty is a shell.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// ExitError is the exit code of a command that was run in a machine.
type ExitError struct {
	Machine string
	Code    int
}

func (e ExitError) Error() string {
	return fmt.Sprintf("machine %s: the command ended with exit code %d", e.Machine, e.Code)
}

// ExitCode is what the caller should end with.
func (e ExitError) ExitCode() int { return e.Code }
