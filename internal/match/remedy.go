package match

import "github.com/bulwark-k8s/bulwark/internal/advisory"

// A Remedy is one thing to do, and the findings that it closes.
type Remedy struct {
	// Kind is what sort of thing it is.
	Kind RemedyKind
	// What is the thing in words: "rebuild on a newer debian:12", "upgrade openssl to
	// 3.0.15-1~deb12u1", "build with Go 1.26.3 or later", "use golang.org/x/net 0.38.0 or
	// later".
	What string
	// Closes are indexes into Result.Findings, in order.
	Closes []int
	// Worst is the gravest severity among them, and Exploited how many of them are known
	// to be exploited.
	Worst     advisory.Severity
	Exploited int
}

// A RemedyKind is a sort of remedy.
type RemedyKind string

// The kinds.
const (
	RebuildBase RemedyKind = "base"    // take a newer base image: what its layers brought
	Upgrade     RemedyKind = "upgrade" // upgrade packages of the operating system
	Toolchain   RemedyKind = "toolchain"
	Bump        RemedyKind = "bump" // use a later version of a library
)
