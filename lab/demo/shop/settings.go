package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// settings reads the environment, or what stands for it in a test.
type settings struct {
	lookup func(string) (string, bool)
}

// text is the value of name, or fallback.
func (s settings) text(name, fallback string) string {
	if value, ok := s.lookup(name); ok {
		return value
	}
	return fallback
}

func (s settings) duration(name string, fallback time.Duration) (time.Duration, error) {
	text, ok := s.lookup(name)
	if !ok {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// secret is read from the file that NAME_FILE names, or from NAME itself, so
// that a deployment can move from the one to the other.
func (s settings) secret(name string) (string, error) {
	if file, ok := s.lookup(name + "_FILE"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_FILE: %w", name, err)
		}
		return strings.TrimSpace(string(data)), nil
	}
	value, ok := s.lookup(name)
	if !ok || value == "" {
		return "", fmt.Errorf("%s: neither it nor %[1]s_FILE is set", name)
	}
	return value, nil
}
