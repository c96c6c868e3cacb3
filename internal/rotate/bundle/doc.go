// Package bundle carries out a rotation where this program reaches no machine:
// it writes, for each phase and machine, a folder with the files to place and a
// script that places them, and asks the cluster from outside whether they are.
//
// The plan is that of package rotate. The folder that it begins with is that of
// `bulwark pki init`: it always says what the machines have, and is changed only
// when a phase has been verified.
package bundle
