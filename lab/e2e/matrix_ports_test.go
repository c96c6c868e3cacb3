//go:build e2e

package e2e

import "testing"

func (m *matrix) ports(t *testing.T) {}
