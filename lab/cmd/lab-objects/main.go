// Command lab-objects makes many Kubernetes objects to measure with: in a folder, or in
// a cluster of the lab.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/bulwark-k8s/bulwark/lab/internal/objects"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab-objects: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lab-objects", flag.ExitOnError)
	n := flags.Int("n", 10_000, "`number` of objects")
	dir := flags.String("dir", "", "`folder` to write YAML into")
	kubeconfig := flags.String("kubeconfig", "", "`file` of the cluster to create them in")
	if err := flags.Parse(args); err != nil {
		return err
	}

	switch {
	case (*dir == "") == (*kubeconfig == ""):
		return errors.New("want either --dir or --kubeconfig")
	case *dir != "":
		if err := os.MkdirAll(*dir, 0o750); err != nil {
			return err
		}
		return objects.Write(*dir, *n)
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	return objects.Create(ctx, config, *n)
}
