// Package nodes asks the nodes of a cluster about themselves: on each, a Job runs this
// program for a few seconds with what it needs to look and nothing to change anything
// with, and says what it saw in its log. A node that does not answer is an Answer with
// an error, never an absence. The package does not know what is said.
package nodes
