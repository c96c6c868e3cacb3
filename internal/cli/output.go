package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// An output is one report to write: a format of its verb's, and a file unless it goes to
// stdout.
type output[F any] struct {
	format F
	file   string
}

// parseOutputs reads the values of --output: FORMAT or FORMAT=FILE, the first of names
// where there are none. At most one goes to stdout.
func parseOutputs[F any](values, names []string, find func(name string) (F, error)) ([]output[F], error) {
	const example = "write a file with -o html=report.html"
	if len(values) == 0 {
		values = names[:1]
	}
	var outputs []output[F]
	stdout := 0
	for _, v := range values {
		name, file, named := strings.Cut(v, "=")
		if named && file == "" {
			return nil, misuse(example, "--output: %q has no file after the equals sign", v)
		}
		format, err := find(name)
		if err != nil {
			return nil, misuse(example, "--output: %w", err)
		}
		if file == "" {
			stdout++
		}
		outputs = append(outputs, output[F]{format, file})
	}
	if stdout > 1 {
		return nil, misuse("give all but one a file: -o table -o json=report.json", "--output: %d reports go to standard output", stdout)
	}
	return outputs, nil
}

// writeOutputs makes every report. A file appears whole or not at all.
func writeOutputs[F any](streams genericiooptions.IOStreams, outputs []output[F], write func(w io.Writer, format F, toFile bool) error) error {
	for _, out := range outputs {
		if out.file == "" {
			w := bufio.NewWriter(streams.Out)
			err := write(w, out.format, false)
			if err = errors.Join(err, w.Flush()); err != nil {
				return fmt.Errorf("report: writing to standard output: %w", cause(err))
			}
			continue
		}
		if err := replaceFile(out.file, func(w io.Writer) error { return write(w, out.format, true) }); err != nil {
			return fmt.Errorf("report %s: %w", out.file, err)
		}
		fmt.Fprintf(streams.ErrOut, "bulwark: wrote %s\n", out.file)
	}
	return nil
}

// writeFile replaces a file atomically.
func writeFile(path string, data []byte) error {
	return replaceFile(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// replaceFile replaces a file, once all of it is written. A report tells where a cluster
// is weak, so only its owner may read it. A link keeps leading where it leads, and what is
// no file, such as /dev/null or a pipe, is written to as it is.
func replaceFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return writeInto(path, write)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return cause(err)
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return cause(err)
	}
	defer os.Remove(tmp.Name())
	w := bufio.NewWriterSize(tmp, 64<<10)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return cause(err)
	}
	return cause(os.Rename(tmp.Name(), path))
}

// writeInto writes to a device or a pipe.
func writeInto(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return cause(err)
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = write(w)
	return cause(errors.Join(err, w.Flush(), f.Close()))
}

// cause drops the temporary file's name, which means nothing to anybody.
func cause(err error) error {
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		return pathErr.Err
	case errors.As(err, &linkErr):
		return linkErr.Err
	}
	return err
}
