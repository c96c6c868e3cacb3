// Package vex reads statements that a vulnerability does or does not matter in a product,
// in OpenVEX, CycloneDX and CSAF, and says which of them speak of a finding. It believes
// what it is given; whose statements to give it is the caller's business.
package vex
